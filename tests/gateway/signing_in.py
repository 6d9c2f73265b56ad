"""Gateways that share their sessions, and somebody who signs in and out of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry

from libs.clock import SystemClock
from libs.secret import Secret
from services.gateway.auth import parse_keys
from services.gateway.database import Database, Keeper
from services.gateway.session_rows import PostgresSessions
from services.gateway.sessions import KeptSessions, SessionLife
from services.gateway.sharing import Sharing
from tests.gateway.raw_http import RawAnswer, exchange, request
from tests.gateway.served import ADMIN_KEY, KEYS, Gateway, Limits, serve_suite

LIFE = SessionLife(idle=600, longest=3600)
FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
# The raw requests' Host is 127.0.0.1 without a port.
HERE = "Origin: http://127.0.0.1"
PAGE = "Accept: text/html,application/xhtml+xml"
NEW_STORE = b'{"store_code": "store_9", "store_name": "Nine", "pic_name": "John Doe"}'

Serve = Callable[..., Awaitable[Gateway]]


@asynccontextmanager
async def sharing_sessions(database_dsn: str) -> AsyncIterator[Serve]:
    """Start gateways that keep their sessions in one database."""
    async with AsyncExitStack() as stack:

        async def start(keys: str = KEYS, life: SessionLife = LIFE) -> Gateway:
            clock = SystemClock()
            database = Database(Sharing(clock=clock, registry=CollectorRegistry()))
            rows = PostgresSessions(database)
            keeper = Keeper(database=database, dsn=Secret(database_dsn), prune=[], clock=clock)
            await stack.enter_async_context(keeper.keeping())
            sessions = KeptSessions(keys=parse_keys(keys), rows=rows, life=life)
            return await stack.enter_async_context(serve_suite(Limits(keys=keys, sessions=sessions)))

        yield start


async def sign_in(gateway: Gateway, key: str = ADMIN_KEY) -> str:
    """Sign in as a form does; return the cookie's header."""
    answer = await post(gateway, "/console/session", HERE, FORM, body=f"key={key}".encode())
    assert (answer.status, answer.headers["location"]) == (303, "/console")
    return f"Cookie: {answer.headers['set-cookie'].partition(';')[0]}"


async def post(gateway: Gateway, path: str, *headers: str, body: bytes = b"") -> RawAnswer:
    return await exchange(gateway.port, request("POST", path, *headers, body=body))


async def get(gateway: Gateway, path: str, *headers: str) -> RawAnswer:
    return await exchange(gateway.port, request("GET", path, *headers))


async def delete(gateway: Gateway, path: str, *headers: str) -> RawAnswer:
    return await exchange(gateway.port, request("DELETE", path, *headers))
