"""Server-sent events: whole events, a heartbeat in silence, an end when the client leaves or the gateway stops."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tokhub.sync.v1 import sync_pb2

from libs.errors import TokhubError
from services.gateway.access import answers_head
from services.gateway.interruption import Interrupted, client_left, unless
from services.gateway.shapes.runs import progress

HEARTBEAT = 15.0  # seconds of silence
SLOWEST_READ = 30.0  # seconds a client may take to accept one event
RETRY = b"retry: 1000\n\n"  # milliseconds a browser waits before it resumes
COMMENT = b": heartbeat\n\n"

Messages = AsyncGenerator[sync_pb2.Progress, None]

log = structlog.get_logger()


def event(message: sync_pb2.Progress) -> bytes:
    """Return one progress message as an event."""
    data = json.dumps(progress(message), ensure_ascii=False, separators=(",", ":"))
    return f"event: progress\nid: {message.sequence}\ndata: {data}\n\n".encode()


class ProgressStream(Response):
    """Sends a run's progress; the run goes on when the client leaves."""

    media_type = "text/event-stream"

    def __init__(self, messages: Messages, *, stopping: asyncio.Event, headers: Mapping[str, str]) -> None:
        super().__init__(headers={**headers, "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._messages = messages
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the run has ended, the client has left or the gateway stops."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            if not answers_head(scope):
                await self._send_all(receive, send)
        except TimeoutError:
            # Saying goodbye would wait for the client as well: the server cuts an unfinished answer off.
            log.warning("event stream dropped: its client does not read")
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, receive: Receive, send: Send) -> None:
        try:
            await unless(self._write(send), client_left(receive), self._stopping.wait())
        except Interrupted:
            return
        except TokhubError as error:
            log.warning("event stream ended early", reason=error.reason.value)

    async def _write(self, send: Send) -> None:
        await emit(send, RETRY)
        async with aclosing(with_heartbeats(self._messages)) as events:
            async for chunk in events:
                await emit(send, chunk)


async def emit(send: Send, chunk: bytes) -> None:
    """Send a chunk, or raise TimeoutError when the client does not take it."""
    async with asyncio.timeout(SLOWEST_READ):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def with_heartbeats(messages: Messages) -> AsyncGenerator[bytes, None]:
    """Yield messages as events, and a comment whenever none has come for HEARTBEAT seconds."""
    upcoming = asyncio.create_task(following(messages))
    try:
        while True:
            await asyncio.wait({upcoming}, timeout=HEARTBEAT)
            if not upcoming.done():
                yield COMMENT
                continue
            message = upcoming.result()
            if message is None:
                return
            yield event(message)
            upcoming = asyncio.create_task(following(messages))
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
        # So that the call behind the generator is cancelled now, not when it is collected.
        await messages.aclose()


async def following(messages: Messages) -> sync_pb2.Progress | None:
    """Return the next message, or None after the last."""
    return await anext(messages, None)
