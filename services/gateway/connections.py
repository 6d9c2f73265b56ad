"""HTTP connections that cannot be held for nothing: requests come in time, and what waits for them is bounded."""

import asyncio
import contextvars
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from libs.rpc.request_id import bind_request_id
from services.gateway.access import SAFE_HEADERS
from services.gateway.errors import refusal_response
from services.gateway.plain_answers import without_chunks
from services.gateway.plain_requests import PlainParser

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

# Seconds that a connection may wait for a request, and a request may take from its first byte to its last.
PATIENCE = 30
MOST_HEAD = 64 * 1024  # bytes of a request line and its headers, as far as they are not there whole
MOST_BEHIND = 16  # requests of one connection that wait behind the one that is being answered
MOST_WAITING = 2_000  # connections; the one that has waited longest makes room

log = structlog.get_logger()


class Waiting:
    """Connections on which a whole request is waited for, oldest first, each with its deadline."""

    def __init__(self) -> None:
        self._deadlines: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def begin(self, transport: asyncio.Transport) -> None:
        """Wait for a request from now on."""
        self.end(transport)
        loop = asyncio.get_running_loop()
        self._deadlines[transport] = loop.call_later(PATIENCE, transport.close)
        if len(self._deadlines) > MOST_WAITING:
            oldest = next(iter(self._deadlines))
            self.end(oldest)
            oldest.close()

    def end(self, transport: asyncio.Transport) -> None:
        """Wait no longer: the request is there, or the client has gone."""
        if deadline := self._deadlines.pop(transport, None):
            deadline.cancel()


class TooManyBehind(Exception):
    """More requests came behind one that is being answered than may wait there."""


class HeadProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with an end to heads, trailers and queues, and our own words for what is no request."""

    # Bytes of the head, or of the trailers, that have begun; endlessly few while a body comes.
    head = 0.0
    # Whether header lines are a head's; those behind a body are trailers, which mean nothing here.
    in_head = True

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Reads plain requests only.
        self.parser = PlainParser(self)

    def data_received(self, data: bytes) -> None:
        """Take what came; refuse a head that grows and grows, and close on such trailers."""
        self.head += len(data)
        super().data_received(data)
        if self.head > MOST_HEAD and not self.transport.is_closing():
            if self.in_head:
                self.send_400_response("The head of the request is too large.")
            self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what stands in a head."""
        if self.in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Expect a body, unless the head will be read once more, as a plain one; close when too many wait already."""
        if self.parser.should_upgrade():
            return
        if len(self.pipeline) >= MOST_BEHIND:
            self.transport.close()
            raise TooManyBehind
        super().on_headers_complete()
        self.head, self.in_head = -math.inf, False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        super()._start_asgi_task(cycle, without_chunks(cycle, app) if cycle.scope["http_version"] == "1.0" else app)

    def on_chunk_header(self) -> None:
        """Expect trailers: a chunk without data is the last one."""
        self.head = 0.0

    def on_body(self, body: bytes) -> None:
        """Expect more of the body."""
        self.head = -math.inf
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect a head."""
        if not self.parser.should_upgrade():
            self.head, self.in_head = 0.0, True
            self.on_request_complete()

    def on_request_complete(self) -> None:
        """Answer a request that is there whole."""
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer as everywhere, and close, unless it is closed already."""
        if not self.transport.is_closing():
            self.transport.write(contextvars.copy_context().run(not_understood, msg))
            self.transport.close()


def bounded_protocol(waiting: Waiting) -> type[HttpToolsProtocol]:
    """Return a protocol that waits no longer than it should, where uvicorn's waits for ever."""

    class BoundedProtocol(HeadProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
            super().connection_made(transport)
            waiting.begin(transport)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            waiting.begin(self.transport)

        def on_request_complete(self) -> None:
            super().on_request_complete()
            # An answer may be there before its request is whole; then the next one is waited for already.
            if not self.cycle.response_complete:
                waiting.end(self.transport)

        def on_response_complete(self) -> None:
            another_came = bool(self.pipeline)
            super().on_response_complete()
            if not another_came:
                waiting.begin(self.transport)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            waiting.end(self.transport)

    return BoundedProtocol


def not_understood(problem: str) -> bytes:
    """Return the answer to what is no request, as all refusals are; its id stands in the log, and in this context."""
    request_id = bind_request_id(None)
    log.info("request", method="", path="", status=HTTPStatus.BAD_REQUEST.value, problem=problem)
    answer = refusal_response(HTTPException(HTTPStatus.BAD_REQUEST))
    answer.headers.update({**SAFE_HEADERS, "X-Request-Id": request_id, "Connection": "close"})
    lines = [b"HTTP/1.1 400 Bad Request", *(b"%s: %s" % pair for pair in answer.raw_headers), b"", answer.body]
    return b"\r\n".join(map(bytes, lines))
