"""HTTP connections that cannot be held for nothing: requests come in time, and what waits for them is bounded."""

import asyncio
import math

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Seconds that a connection may wait for a request, and a request may take from its first byte to its last.
PATIENCE = 30
MOST_HEAD = 64 * 1024  # bytes of a request line and its headers, as far as they are not there whole
MOST_WAITING = 2_000  # connections; the one that has waited longest makes room


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


def bounded_protocol(waiting: Waiting) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol, which itself waits for ever for a request that has begun, or for the first."""

    class BoundedProtocol(HttpToolsProtocol):
        # Bytes of the head that has begun; endlessly few while a body comes.
        head = 0.0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
            super().connection_made(transport)
            waiting.begin(transport)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            waiting.begin(self.transport)

        def data_received(self, data: bytes) -> None:
            self.head += len(data)
            super().data_received(data)
            if self.head > MOST_HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")

        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            self.head = -math.inf

        def on_message_complete(self) -> None:
            self.head = 0.0
            super().on_message_complete()
            # An answer may be there before its request is whole; then the next one is waited for already.
            if not self.cycle.response_complete:
                waiting.end(self.transport)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            waiting.begin(self.transport)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            waiting.end(self.transport)

    return BoundedProtocol
