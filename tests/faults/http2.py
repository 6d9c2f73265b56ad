"""HTTP/2 by hand (RFC 9113): frames that no client library would send."""

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
LARGEST_FRAME = 16_384  # bytes, until a peer allows more
CANCEL = 8
GRPC = {":method": "POST", ":scheme": "http", ":authority": "127.0.0.1", "te": "trailers"}
PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Frame:
    """What a peer sent."""

    kind: int
    flags: int
    stream: int
    content: bytes


def frame(kind: int, content: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """Return a frame on the wire."""
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


def block(headers: Mapping[str, str | bytes]) -> bytes:
    """Return headers as literals that leave no trace in the peer's table (RFC 7541, 6.2.2)."""
    return b"".join(b"\0" + text(name.encode()) + text(encoded(value)) for name, value in headers.items())


def encoded(value: str | bytes) -> bytes:
    """Return a value as bytes."""
    return value if isinstance(value, bytes) else value.encode()


def text(content: bytes) -> bytes:
    """Return a string with its length before it, as an integer of seven bits and more (RFC 7541, 5.1)."""
    number, head = len(content), b""
    if number < 127:
        return bytes([number]) + content
    number -= 127
    while number > 127:
        head += bytes([number & 127 | 128])
        number >>= 7
    return b"\x7f" + head + bytes([number]) + content


def message(content: bytes) -> bytes:
    """Return a gRPC message with its prefix."""
    return b"\0" + struct.pack(">I", len(content)) + content


@dataclass
class Connection:
    """One connection; frames is what came, ended whether the peer has closed it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: list[Frame] = field(default_factory=list)
    ended: bool = False
    last_stream: int = -1

    def new_stream(self) -> int:
        """Return the id of a stream that is not open yet."""
        self.last_stream += 2
        return self.last_stream

    async def send(self, *parts: bytes) -> bool:
        """Send frames; return whether the peer still took them."""
        try:
            self.writer.write(b"".join(parts))
            await self.writer.drain()
        except OSError:
            self.ended = True
        return not self.ended

    async def call(self, headers: Mapping[str, str | bytes], content: bytes = b"") -> bytes:
        """Send a call; return the blocks of headers and trailers of its answer, as they came."""
        stream, whole = self.new_stream(), block(GRPC | dict(headers))
        pieces = [whole[begin : begin + LARGEST_FRAME] for begin in range(0, len(whole), LARGEST_FRAME)]
        for place, piece in enumerate(pieces):
            kind, last = (HEADERS, CONTINUATION)[bool(place)], place == len(pieces) - 1
            if not await self.send(frame(kind, piece, flags=END_HEADERS if last else 0, stream=stream)):
                break
        await self.send(frame(DATA, message(content), flags=END_STREAM, stream=stream))
        return await self.answer(stream)

    async def answer(self, stream: int) -> bytes:
        """Return the blocks of an answer; what else ended the call stands there in words."""
        told = b""
        async for one in self.arriving():
            if one.kind == GOAWAY:
                return told + b" GOAWAY " + one.content[4:]
            if one.stream != stream:
                continue
            if one.kind in (HEADERS, CONTINUATION):
                told += one.content
            if one.kind == RST_STREAM:
                return told + b" RST_STREAM " + str(struct.unpack(">I", one.content)[0]).encode()
            if one.flags & END_STREAM and one.kind in (HEADERS, DATA):
                return told
        return told + b" CLOSED"

    async def arriving(self) -> AsyncGenerator[Frame, None]:
        """Yield frames as they come, until the peer closes the connection; its settings and pings are answered."""
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    head = await self.reader.readexactly(9)
                    content = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
            except (OSError, asyncio.IncompleteReadError):
                self.ended = True
                return
            found = Frame(head[3], head[4], int.from_bytes(head[5:], "big"), content)
            self.frames.append(found)
            if found.kind in (SETTINGS, PING) and not found.flags & ACK:
                await self.send(frame(found.kind, content if found.kind == PING else b"", flags=ACK))
            yield found


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[Connection]:
    """Yield a connection on which both sides know the other's settings."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PREFACE + frame(SETTINGS))
    peer = Connection(reader, writer)
    try:
        async with aclosing(peer.arriving()) as frames:
            async for one in frames:
                if one.kind == SETTINGS and one.flags & ACK:
                    break
        yield peer
    finally:
        writer.transport.abort()
