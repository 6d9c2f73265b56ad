"""What happens around every call a service answers: request id, deadline, validation, errors, log line, metrics."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message
from google.rpc import code_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from libs.errors import DeadlineExceeded, Internal, NotAllowed, ServerMisconfig, TokhubError
from libs.rpc import actor
from libs.rpc.actor import acting, bind_actor
from libs.rpc.gate import Gate
from libs.rpc.identity import OPERATOR, Caller, Context
from libs.rpc.recording import Recorder
from libs.rpc.request_id import METADATA_KEY, bind_request_id
from libs.rpc.status import CODES, NO_METHOD, OPAQUE, to_status
from libs.rpc.traced import traced_stream, traced_unary
from libs.rpc.unpack import unpacking, unpacking_once
from libs.tracing import is_tracing

DEFAULT_TIMEOUT = 60.0  # seconds for a unary call whose caller set no deadline
# Taken off the caller's deadline, so that our own error arrives before gRPC cuts the call without one.
REPORT_MARGIN = 0.02

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection."

log = structlog.get_logger()


class RpcMetrics:
    """Counts and times of calls, by method and outcome; streams, and what the service depends on."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "tokhub_rpc_calls", "Calls that ended, by outcome.", ["method", "code", "reason"], registry=registry
        )
        self.seconds = Histogram("tokhub_rpc_seconds", "Time a call took, in seconds.", ["method"], registry=registry)
        self.streams = Gauge("tokhub_rpc_streams_open", "Streams that are open.", ["method"], registry=registry)
        self.usable = Gauge(
            "tokhub_dependency_usable",
            "1 while what the service depends on can be used, as its health says.",
            ["dependency"],
            registry=registry,
        )


@dataclass
class Ending:
    """How a call ended."""

    code: str = "OK"
    reason: str = ""
    failure: TokhubError | None = None


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps unary and server-streaming methods; the suite has no others. Requests to repeated ones are read once."""

    def __init__(
        self, metrics: RpcMetrics, gate: Gate, recorder: Recorder | None = None, repeated: Collection[str] = ()
    ) -> None:
        self._metrics = metrics
        self._gate = gate
        self._recorder = recorder
        self._repeated = frozenset(repeated)
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return the method's handler with everything that happens around it."""
        method = str(handler_call_details.method)
        known = self._handlers.get(method)
        if known:
            return known
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(HEALTH):
            return handler
        self._handlers[method] = self._wrapped(method, handler)
        return self._handlers[method]

    def _wrapped(self, method: str, handler: Any) -> Handler:
        if method.startswith(REFLECTION):
            return grpc.stream_stream_rpc_method_handler(
                self._described(method, handler.stream_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        unpack = unpacking_once if method in self._repeated else unpacking
        codec: dict[str, Any] = {
            "request_deserializer": unpack(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        recorder = self._recorder
        if handler.response_streaming:
            stream = recorder.stream(method, handler.unary_stream) if recorder else handler.unary_stream
            answers = self._stream(method, stream)
            return grpc.unary_stream_rpc_method_handler(
                traced_stream(method, answers) if is_tracing() else answers, **codec
            )
        unary = recorder.unary(method, handler.unary_unary) if recorder else handler.unary_unary
        answer = self._unary(method, unary)
        return grpc.unary_unary_rpc_method_handler(traced_unary(method, answer) if is_tracing() else answer, **codec)

    def _unary(self, method: str, behaviour: Any) -> Callable[[Any, Context], Awaitable[Any]]:
        async def answer(request: Message | Exception, context: Context) -> Any:
            async with self._around(method, context):
                raise_if_unfit(request)
                async with time_limit(context.time_remaining(), DEFAULT_TIMEOUT):
                    return await behaviour(request, context)

        return answer

    def _stream(self, method: str, behaviour: Any) -> Callable[[Any, Context], AsyncIterator[Any]]:
        opened = self._metrics.streams.labels(method)

        async def answer(request: Message | Exception, context: Context) -> AsyncIterator[Any]:
            async with self._around(method, context):
                raise_if_unfit(request)
                with opened.track_inprogress():
                    async for response in behaviour(request, context):
                        yield response

        return answer

    def _described(self, method: str, behaviour: Any) -> Callable[[Any, Context], AsyncIterator[Any]]:
        async def answer(requests: Any, context: Context) -> AsyncIterator[Any]:
            try:
                caller = self._gate.recognise(context)
                bind_actor(caller.name)
                await self._let_in(caller, method)
            except NotAllowed as denied:
                await refuse(denied, context)
            async for response in behaviour(requests, context):
                yield response

        return answer

    @asynccontextmanager
    async def _around(self, method: str, context: Context) -> AsyncIterator[None]:
        structlog.contextvars.clear_contextvars()
        offered = {key: str(value) for key, value in context.invocation_metadata() or ()}
        request_id = bind_request_id(offered.get(METADATA_KEY))
        started = time.perf_counter()
        ending = Ending()
        try:
            caller = self._gate.recognise(context)
            bind_actor(caller.name if caller.role == OPERATOR else acting(caller.name, offered.get(actor.METADATA_KEY)))
            await self._let_in(caller, method)
            yield
        except Exception as error:  # noqa: BLE001 - grpc.aio sends the text of whatever escapes to the caller
            ending = end_with(error, method)
        except BaseException:
            ending = Ending(code="CANCELLED")
            raise
        finally:
            self._report(method, ending, time.perf_counter() - started)
        if ending.failure:
            await refuse(ending.failure, context, (METADATA_KEY, request_id))

    async def _let_in(self, caller: Caller, method: str) -> None:
        try:
            self._gate.check(caller, method)
        except NotAllowed:
            if self._recorder:
                await self._recorder.denied(caller, method)
            raise

    def _report(self, method: str, ending: Ending, seconds: float) -> None:
        self._metrics.calls.labels(method, ending.code, ending.reason).inc()
        self._metrics.seconds.labels(method).observe(seconds)
        log.info("rpc", method=method, status=ending.code, reason=ending.reason, ms=round(seconds * 1000, 2))


async def refuse(failure: TokhubError, context: Context, *trailers: tuple[str, str]) -> None:
    """End a call with an error, and more trailers beside it."""
    status = rpc_status.to_status(to_status(failure))
    trailing = (*status.trailing_metadata, *trailers)
    context.set_trailing_metadata(trailing)
    await context.abort(status.code, status.details, trailing)


def raise_if_unfit(request: Message | Exception) -> None:
    """Raise what was wrong with the request's bytes."""
    if isinstance(request, Exception):
        raise request


def end_with(error: Exception, method: str) -> Ending:
    """Return the ending for what escaped a method; the unknown is logged and told to nobody else."""
    if isinstance(error, NotImplementedError):
        # What gRPC's generated servicers raise for a method that is declared and not carried out.
        log.error("method not implemented", method=method, exc_info=error)
        error = ServerMisconfig(NO_METHOD)
    if isinstance(error, TokhubError):
        return Ending(code=code_pb2.Code.Name(CODES[error.reason]), reason=error.reason.value, failure=error)
    log.error("unhandled exception", method=method, exc_info=error)
    return Ending(code="INTERNAL", reason=Internal.reason.value, failure=Internal(OPAQUE))


@asynccontextmanager
async def time_limit(remaining: float | None, default: float) -> AsyncIterator[None]:
    """Bound a unary method by its caller's deadline, a little early; raise DeadlineExceeded."""
    seconds = default if remaining is None else max(remaining - REPORT_MARGIN, 0)
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded from None
