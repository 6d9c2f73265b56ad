"""One HTTP client towards TikTok: bounded in time and size, never redirected, silent about what it sends."""

import asyncio
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from opentelemetry.trace import SpanKind
from pydantic_core import from_json

from libs.tiktok.outcomes import NoAnswer, NotSent, TooLarge
from libs.tracing import span

MAX_BODY_BYTES = 8 * 1024 * 1024  # decoded; a page of 20 videos is about 20 kB
CONNECT_TIMEOUT = 10.0  # seconds, and never more than half of a request's deadline: a handshake that hangs is NotSent
LAST_MOMENT = 1.0  # seconds after a deadline

# Failures before the request left; after anything else TikTok may have acted on it.
BEFORE_SENDING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer; the body is decoded but not yet understood."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json_object(self) -> dict[str, Any] | None:
        """Return the body as a JSON object, or None when it is anything else.

        Bytes that are no text and numbers of any length stay what they are, so that they cost no field but their own.
        """
        try:
            value = read_json(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text with whole numbers of any length; raise ValueError and RecursionError."""
    try:
        return from_json(body, cache_strings="keys")
    except ValueError:
        # That reader is fast and strict.
        return read_strange_json(body.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))


def read_strange_json(text: str) -> Any:
    """Return what Python's own reader makes of it, which takes halves of characters and any depth that it can bear."""
    try:
        return json.loads(text)
    except ValueError:
        # Each number by itself costs as much again as all the rest.
        return json.loads(text, parse_int=read_digits)


def read_digits(digits: str) -> int | float:
    """Return a whole number, infinite when it has more digits than Python reads."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request; nothing of it shows in a repr but the method and the path."""

    method: str
    url: str
    params: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    json_body: Mapping[str, Any] | None = field(default=None, repr=False)


async def send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Hide a broken connection from aiohttp, which would send a GET, PUT or DELETE again, on a new connection too."""
    try:
        return await handler(request)
    except BEFORE_SENDING:
        raise
    except (aiohttp.ClientError, OSError) as failure:
        raise NoAnswer(f"no answer: {type(failure).__name__}") from None


async def within(deadline: float, exchange: Coroutine[Any, Any, Answer]) -> Answer:
    """Return what the exchange brings within deadline seconds; raise TimeoutError.

    A process that was paused finds its deadline long past and the answer waiting in the socket, unread. Cancelling then
    would throw away the only copy of new tokens, so the exchange has a last moment to read what has arrived.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        last_moment = loop.call_later(deadline, lambda: limit.reschedule(loop.time() + LAST_MOMENT))
        try:
            return await exchange
        finally:
            last_moment.cancel()


class Transport:
    """Sends requests while its context is open.

    Each is sent once: whatever breaks after the connection was made is NoAnswer, never a silent second attempt.
    Without keep_alive every request has a connection of its own: one that is kept may already be dead at the other
    end, and a token call that dies on it has an unknown outcome for nothing.
    """

    def __init__(self, *, connections: int = 300, keep_alive: bool = True) -> None:
        self._connections = connections
        self._keep_alive = keep_alive

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections, force_close=not self._keep_alive)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            raise_for_status=False,
            middlewares=(send_once,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, request: Request, *, deadline: float) -> Answer:
        """Return the whole answer within deadline seconds; raise NotSent, NoAnswer or TooLarge."""
        with span(f"{request.method} {urlsplit(request.url).path}", SpanKind.CLIENT) as opened:
            answer = await self._send(request, deadline)
            if opened:
                opened.set_attribute("http.response.status_code", answer.status)
            return answer

    async def _send(self, request: Request, deadline: float) -> Answer:
        try:
            return await within(deadline, self._exchange(request, min(CONNECT_TIMEOUT, deadline / 2)))
        except BEFORE_SENDING as failure:
            raise NotSent(f"connecting failed: {type(failure).__name__}") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as failure:
            raise NoAnswer(f"no answer: {type(failure).__name__}") from None

    async def _exchange(self, request: Request, connect_timeout: float) -> Answer:
        exchange = self._session.request(
            request.method,
            request.url,
            params=request.params,
            headers=request.headers,
            data=request.form,
            json=request.json_body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout),
        )
        async with exchange as response:
            body = bytearray()
            while chunk := await response.content.readany():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise TooLarge(f"the answer is larger than {MAX_BODY_BYTES} bytes")
            return Answer(status=response.status, headers=response.headers, body=bytes(body))
