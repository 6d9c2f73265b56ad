"""Server-sent events: whole events, a heartbeat in silence, an end when the client leaves or may not stay."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import structlog
from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tokhub.sync.v1 import sync_pb2

from libs.errors import TokhubError
from services.gateway.access import answers_head
from services.gateway.errors import error_body, word
from services.gateway.interruption import Interrupted, client_left, unless
from services.gateway.shapes.runs import progress
from services.gateway.standing import lapse

HEARTBEAT = 15.0  # seconds of silence
SLOWEST_READ = 30.0  # seconds a client may take to accept one event
RETRY = b"retry: 1000\n\n"  # milliseconds a browser waits before it resumes
COMMENT = b": heartbeat\n\n"

Events = AsyncGenerator[bytes, None]

log = structlog.get_logger()


def event(name: str, data: Mapping[str, Any], number: int | None = None) -> bytes:
    """Return an event, which a reader that was cut off can name by its number when it has one."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    numbered = f"id: {number}\n" if number is not None else ""
    return f"event: {name}\n{numbered}data: {text}\n\n".encode()


async def progress_events(messages: AsyncGenerator[sync_pb2.Progress, None]) -> Events:
    """Yield a run's progress as events."""
    async with aclosing(messages):
        async for message in messages:
            yield event("progress", progress(message), message.sequence)


def refusal(error: TokhubError) -> bytes:
    """Return the event that says why no other will follow, in the words of an error answer."""
    return event("refused", error_body(word(error), error.message)["error"])


class EventStream(Response):
    """Sends events as long as whoever asked may see them; what they tell about goes on when the client leaves."""

    media_type = "text/event-stream"

    def __init__(
        self, events: Events, *, request: Request, stopping: asyncio.Event, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(headers={**(headers or {}), "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._request = request
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the events have ended, the client has left or may not stay, or the gateway stops."""
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
            await unless(self._write(send), client_left(receive), self._stopping.wait(), lapse(self._request))
        except Interrupted:
            return
        except TokhubError as error:
            log.warning("event stream ended early", reason=error.reason.value)
            await emit(send, refusal(error))

    async def _write(self, send: Send) -> None:
        await emit(send, RETRY)
        async with aclosing(with_heartbeats(self._events)) as chunks:
            async for chunk in chunks:
                await emit(send, chunk)


async def emit(send: Send, chunk: bytes) -> None:
    """Send a chunk, or raise TimeoutError when the client does not take it."""
    async with asyncio.timeout(SLOWEST_READ):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def with_heartbeats(events: Events) -> Events:
    """Yield the events, and a comment whenever none has come for HEARTBEAT seconds."""
    upcoming = asyncio.create_task(following(events))
    try:
        while True:
            await asyncio.wait({upcoming}, timeout=HEARTBEAT)
            if not upcoming.done():
                yield COMMENT
                continue
            chunk = upcoming.result()
            if chunk is None:
                return
            yield chunk
            upcoming = asyncio.create_task(following(events))
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
        # So that the call behind the generator is cancelled now, not when it is collected.
        await events.aclose()


async def following(events: Events) -> bytes | None:
    """Return the next event, or None after the last."""
    return await anext(events, None)
