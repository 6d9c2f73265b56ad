"""A span around every request: its route, its status and its request id, and nothing that a client has written."""

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.rpc.request_id import current_request_id
from libs.tracing import tracer
from services.gateway.access import METHODS, UNMATCHED

# What machines ask every few seconds.
UNTRACED = frozenset({"/health", "/metrics"})


class RequestSpans:
    """Begins a trace for each request: what strangers send as one of theirs is not taken over."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request within its span."""
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        opened = tracer().start_span("HTTP", context=Context(), kind=SpanKind.SERVER)
        # A request has a task of its own; its log line, which comes after this, names the trace too.
        contexts.attach(set_span_in_context(opened))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                tell_status(opened, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            name_after(opened, scope)
            opened.end()


def tell_status(opened: Span, status: int) -> None:
    """Write the answer's status into the span."""
    opened.set_attribute("http.response.status_code", status)
    if status >= 500:
        opened.set_status(StatusCode.ERROR)


def name_after(opened: Span, scope: Scope) -> None:
    """Name the span after its route, which is known by now."""
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = getattr(scope.get("route"), "path", UNMATCHED)
    opened.update_name(f"{method} {route}")
    opened.set_attributes(
        {"http.request.method": method, "http.route": route, "tokhub.request_id": current_request_id()}
    )
