"""Answers written to the connection byte by byte, past the server's own framing."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Literal, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

WIRE = "sandbox.wire"
End = Literal["close", "reset"]
HeaderList = list[tuple[str, str]]
_NO_LINGER = struct.pack("ii", 1, 0)


class Drain(Protocol):
    """What says when there is room for more."""

    async def drain(self) -> None:
        """Wait until there is room."""


class Wire:
    """One client's connection."""

    def __init__(self, transport: asyncio.Transport, flow: Drain) -> None:
        self._transport = transport
        self._flow = flow

    async def write(self, data: bytes) -> bool:
        """Send bytes and wait for room; False once the client is gone."""
        if self._transport.is_closing():
            return False
        self._transport.write(data)
        await self._flow.drain()
        return not self._transport.is_closing()

    def end(self, how: End) -> None:
        """Close in good order, or with a reset."""
        if how == "close":
            self._transport.close()
            return
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        if connection is not None and not self._transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()


class WireAnswer(Response):
    """Sends the pieces as they come, possibly none, then ends the connection."""

    def __init__(self, pieces: AsyncIterator[bytes], end: End = "close") -> None:
        super().__init__()
        self._pieces = pieces
        self._end: End = end

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Write, end, and wait until the server has noticed."""
        wire: Wire | None = scope.get("extensions", {}).get(WIRE)
        if wire is None:
            raise ConnectionResetError("the scripted fault breaks this connection")
        async for piece in self._pieces:
            if not await wire.write(piece):
                break
        wire.end(self._end)
        while (await receive())["type"] != "http.disconnect":
            pass


async def pieces_of(*pieces: bytes) -> AsyncIterator[bytes]:
    """Yield these pieces without a pause."""
    for piece in pieces:
        yield piece


def head(response: Response, changes: HeaderList) -> bytes:
    """Return the status line and headers of a response; those in `changes` take the place of its own."""
    own = [("Date", format_datetime(datetime.now(UTC), usegmt=True)), ("Connection", "close")]
    own += [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
    replaced = {name.lower() for name, _ in changes}
    kept = [(name, value) for name, value in own if name.lower() not in replaced]
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*kept, *changes])
    status = HTTPStatus(response.status_code)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{lines}\r\n".encode("latin-1")
