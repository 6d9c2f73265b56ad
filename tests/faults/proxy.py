"""A TCP proxy before PostgreSQL that cuts, resets, delays or swallows what passes, as networks do."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

READY_FOR_QUERY = b"Z\x00\x00\x00\x05"
AT_ONCE = 65_536  # bytes


class Side(Enum):
    """Which half of a commit never arrives."""

    REQUEST = "request"
    ANSWER = "answer"


@dataclass
class CutAtCommit:
    """Cuts the connection at the n-th time a statement is committed: once, then everything passes again.

    statement is a part of its text. What is in no transaction commits when it is executed; `COMMIT` itself is one too.
    """

    statement: bytes
    side: Side
    at: int = 1
    passes: int = 0
    done: bool = False

    def hits(self, link: "Link", chunk: bytes) -> bool:
        """Return whether this is the chunk to cut at."""
        if self.done or not link.commits(self.statement, chunk):
            return False
        self.passes += 1
        self.done = self.passes == self.at
        return self.done


@dataclass(eq=False)
class Link:
    """One client's connection through the proxy; prepared are the texts of its statements by name."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    swallowing: bool = False
    prepared: dict[bytes, bytes] = field(default_factory=dict)

    def commits(self, statement: bytes, chunk: bytes) -> bool:
        """Return whether a chunk makes the server execute the statement, prepared earlier or simple."""
        bound = chunk[5:].partition(b"\0")[2].partition(b"\0")[0]
        executed = {b"Q": chunk, b"B": self.prepared.get(bound, b"")}.get(chunk[:1], b"")
        return statement in executed

    def note(self, chunk: bytes) -> None:
        """Remember a statement that is prepared, also long before anybody wants it cut."""
        if chunk[:1] == b"P":
            name, _, text = chunk[5:].partition(b"\0")
            self.prepared[name] = text

    def reset(self) -> None:
        """End both halves with RST."""
        for writer in (self.client, self.server):
            connection: socket.socket | None = writer.get_extra_info("socket")
            # A socket that is closed already has no number, and a transport that is closed has no socket.
            with suppress(OSError, ValueError):
                if connection:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """What is broken is set while it runs: cut, delay in seconds, and whether anything flows."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._links: set[Link] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.cut: CutAtCommit | None = None
        self.delay = 0.0
        self.port = 0

    def black_hole(self) -> None:
        """Let nothing pass and nobody know: connections open, new ones too, and no byte or RST ever comes."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let everything pass again; what was held back in a black hole comes late, if anybody still waits."""
        self._flowing.set()

    def reset(self) -> None:
        """End every connection with RST."""
        for link in list(self._links):
            link.reset()

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """Pass one client's bytes on, both ways, until one side ends."""
        await self._flowing.wait()
        server, requests = await asyncio.open_connection(*self._address)
        link = Link(answers, requests)
        self._links.add(link)
        pumps = [asyncio.create_task(self._up(link, client)), asyncio.create_task(self._down(link, server))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            link.reset()
            self._links.discard(link)

    async def _up(self, link: Link, client: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while chunk := await client.read(AT_ONCE):
                await self._held_back()
                link.note(chunk)
                if self.cut and self.cut.hits(link, chunk):
                    if self.cut.side is Side.REQUEST:
                        return
                    link.swallowing = True
                link.server.write(chunk)
                await link.server.drain()

    async def _down(self, link: Link, server: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while chunk := await server.read(AT_ONCE):
                await self._held_back()
                if link.swallowing:
                    if READY_FOR_QUERY in chunk:
                        return
                    continue
                link.client.write(chunk)
                await link.client.drain()

    async def _held_back(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._flowing.wait()


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[Proxy]:
    """Yield a proxy that listens on a port of its own."""
    proxy = Proxy(host, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.flow()
        proxy.reset()
