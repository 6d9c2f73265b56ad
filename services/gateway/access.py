"""What surrounds every request: its id, one log line, its numbers, safe headers, an answer to the unforeseen."""

import asyncio
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.errors import Internal, UpstreamUnavailable
from libs.rpc.request_id import bind_request_id
from services.gateway.errors import error_response
from services.gateway.interruption import CLIENT_LEFT

HEAD_FLAG = "tokhub.head"
UNMATCHED = "unmatched"
# Whatever else a client writes is told as one.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
EVENTS = "text/event-stream"
CUT_OFF = "The gateway stopped before it could answer; what was asked for may be done: look before you ask again"
LONGEST_PATH = 200  # characters in the log
# A HEAD there would spend a code that only a GET may spend.
NO_HEAD = frozenset({"/auth/tiktok/callback", "/api/v1/tiktok/auth/callback"})
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

log = structlog.get_logger()


class HttpMetrics:
    """Counts and times of requests, by route."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "tokhub_http_requests", "Requests that ended.", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "tokhub_http_seconds",
            "Time a request took, in seconds; event streams aside.",
            ["method", "route"],
            registry=registry,
        )
        self.streams = Gauge("tokhub_http_event_streams", "Event streams that are open.", registry=registry)


@dataclass
class Exchange:
    """One request and how far its answer is."""

    request_id: str
    send: Send
    # The request's state, in which a gate may leave answer_headers.
    state: Mapping[str, Any]
    metrics: HttpMetrics
    status: int = 0
    is_stream: bool = False

    async def send_safely(self, message: Message) -> None:
        """Send a message of the answer, with the id and the safe headers on its first."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            self.is_stream = headers.get("content-type", "").startswith(EVENTS)
            self.metrics.streams.inc(self.is_stream)
            for name, value in SAFE_HEADERS.items():
                headers.setdefault(name, value)
            headers.update(self.state.get("answer_headers", {}))
            headers["X-Request-Id"] = self.request_id
        await self.send(message)


class AccessLog:
    """The outermost layer of the gateway."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request and say so."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        structlog.contextvars.clear_contextvars()
        started = time.perf_counter()
        inner = as_get(scope)
        exchange = Exchange(bind_request_id(offered_id(scope)), send, inner["state"], self._metrics)
        try:
            await self._answer(inner, receive, exchange)
        finally:
            self._report(scope["method"], inner, exchange, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        try:
            await self._app(scope, receive, exchange.send_safely)
        except ClientDisconnect:
            exchange.status = CLIENT_LEFT
        except asyncio.CancelledError:
            # Only a stop that has waited long enough cancels a request.
            if not exchange.status:
                await error_response(UpstreamUnavailable(CUT_OFF))(scope, receive, exchange.send_safely)
            raise
        except Exception as error:  # noqa: BLE001 - the caller gets an answer, the log gets the place
            log_unforeseen(error)
            if not exchange.status:
                await error_response(Internal())(scope, receive, exchange.send_safely)

    def _report(self, method: str, scope: Scope, exchange: Exchange, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        told = method if method in METHODS else "other"
        self._metrics.requests.labels(told, route, str(exchange.status)).inc()
        if exchange.is_stream:
            self._metrics.streams.dec()
        else:
            self._metrics.seconds.labels(told, route).observe(seconds)
        peer = scope["client"][0] if scope.get("client") else ""
        # The path only: a query may hold a code and a state. No route has a path of such length.
        log.info(
            "request",
            method=method,
            path=scope["path"][:LONGEST_PATH],
            status=exchange.status,
            ms=round(seconds * 1000, 2),
            peer=peer,
        )


def offered_id(scope: Scope) -> str | None:
    """Return the one request id the client offered, if any."""
    offered = Headers(scope=scope).getlist("x-request-id")
    return offered[0] if len(offered) == 1 else None


def as_get(scope: Scope) -> Scope:
    """Return the scope in which HEAD is answered as GET; the server leaves the body out."""
    if scope["method"] != "HEAD" or scope["path"] in NO_HEAD:
        return {**scope, "state": {}}
    return {**scope, "state": {}, "method": "GET", HEAD_FLAG: True}


def answers_head(scope: Scope) -> bool:
    """Return whether the answer's body will be left out."""
    return bool(scope.get(HEAD_FLAG))


def log_unforeseen(error: Exception) -> None:
    """Log where an unforeseen error came from; its text is left out, because it may hold what was being handled."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-12:]]
    log.error("unhandled exception", error=type(error).__name__, places=places)
