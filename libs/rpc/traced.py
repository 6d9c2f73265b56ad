"""Spans around calls between the services, on both sides, with the trace carried in the call's metadata.

The interceptors that OpenTelemetry offers write errors' texts and peers into spans, and know neither our request ids
nor which methods are endless.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from opentelemetry import context as contexts
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context

from libs.rpc.identity import Context
from libs.rpc.request_id import current_request_id
from libs.tracing import PROPAGATOR, carrier_in, tracer

HEALTH = "grpc.health."

Details = grpc.aio.ClientCallDetails
Continuation = Callable[[Details, Any], Any]


def traced_unary(
    method: str, behaviour: Callable[[Any, Context], Awaitable[Any]]
) -> Callable[[Any, Context], Awaitable[Any]]:
    """Return the same method with a span around it."""

    async def answer(request: Any, context: Context) -> Any:
        opened = serving(method, context)
        try:
            return await behaviour(request, context)
        finally:
            end_serving(opened, context)

    return answer


def traced_stream(
    method: str, behaviour: Callable[[Any, Context], AsyncIterator[Any]]
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    """Return the same method with a span around it."""

    async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
        opened = serving(method, context)
        try:
            async for response in behaviour(request, context):
                yield response
        finally:
            end_serving(opened, context)

    return answer


def serving(method: str, context: Context) -> Span:
    """Begin the span of a call that is served; each has a task of its own, so that nobody has to take it back."""
    metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
    opened = tracer().start_span(method.lstrip("/"), context=carrier_in(metadata), kind=SpanKind.SERVER)
    contexts.attach(set_span_in_context(opened))
    return opened


def end_serving(opened: Span, context: Context) -> None:
    """End it, telling how the call came out."""
    opened.set_attribute("tokhub.request_id", current_request_id())
    tell_code(opened, context.code())
    opened.end()


def tell_code(opened: Span, code: Any) -> None:
    """Write a call's code into its span; gRPC has it as a number on one side and as a name on the other."""
    number = code.value[0] if isinstance(code, grpc.StatusCode) else int(code or 0)
    opened.set_attribute("rpc.grpc.status_code", number)
    if number:
        opened.set_status(StatusCode.ERROR)


def begun(details: Details) -> tuple[Span, Details]:
    """Return the span of a call that is made, and its details with the trace in them."""
    opened = tracer().start_span(name_of(details), kind=SpanKind.CLIENT)
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier, context=set_span_in_context(opened))
    for key, value in carrier.items():
        metadata.add(key, value)
    carrying = Details(
        method=details.method,
        timeout=details.timeout,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )
    return opened, carrying


def name_of(details: Details) -> str:
    """Return service and method; gRPC has them as bytes, whatever its types say."""
    method: Any = details.method
    return str(method.decode() if isinstance(method, bytes) else method).lstrip("/")


class TracedUnary(grpc.aio.UnaryUnaryClientInterceptor):
    """For calls with one answer; the last of the interceptors, which has the call itself."""

    async def intercept_unary_unary(self, continuation: Continuation, details: Details, request: Any) -> Any:
        """Return the call once it has ended."""
        if name_of(details).startswith(HEALTH):
            return await continuation(details, request)
        opened, details = begun(details)
        try:
            call = await continuation(details, request)
            try:
                tell_code(opened, await call.code())
            except asyncio.CancelledError:
                call.cancel()
                raise
            return call
        finally:
            opened.end()


class TracedStream(grpc.aio.UnaryStreamClientInterceptor):
    """For calls with a stream of answers."""

    async def intercept_unary_stream(self, continuation: Continuation, details: Details, request: Any) -> Any:
        """Return the call, whose end is the span's."""
        if name_of(details).startswith(HEALTH):
            return await continuation(details, request)
        opened, details = begun(details)
        call = await continuation(details, request)
        call.add_done_callback(lambda _call: opened.end())
        return call
