"""A server that answers in raw bytes, also in ways no web framework would."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Reply = Callable[["RawServer", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """What came in: the head of every request, and how many connections."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    conversations: set[asyncio.Task[None]] = field(default_factory=set)


@asynccontextmanager
async def serve_raw(reply: Reply) -> AsyncIterator[RawServer]:
    """Serve while the context is open; reply writes to the connection, or closes it, once for every request."""
    raw = RawServer()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw.connections += 1
        task = asyncio.current_task()
        assert task
        raw.conversations.add(task)
        try:
            while not writer.is_closing():
                raw.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                await reply(raw, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2/oauth/token/"
    async with server:
        yield raw
        raw.released.set()
        await asyncio.gather(*raw.conversations)


def answering(body: bytes, *headers: str, status: str = "200 OK") -> Reply:
    """Return a reply that answers properly and keeps the connection."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode()

    async def reply(_raw: RawServer, writer: asyncio.StreamWriter) -> None:
        writer.write(head + body)
        await writer.drain()

    return reply


def writing(sent: bytes) -> Reply:
    """Return a reply that writes these bytes and cuts the connection."""

    async def reply(_raw: RawServer, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        writer.close()

    return reply
