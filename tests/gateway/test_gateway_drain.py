import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from services.gateway.access import AccessLog, HttpMetrics
from services.gateway.server import Listen, Server, bind, server_of
from tests.gateway.raw_http import exchange, request


@dataclass
class Endless:
    """An application that never ends an answer, and may never begin it."""

    begins: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        if self.begins:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


@asynccontextmanager
async def served(app: Endless) -> AsyncIterator[tuple[Server, int]]:
    """Serve behind the gateway's outermost layer, with no grace for what is in flight at a stop."""
    server = server_of(AccessLog(app, metrics=HttpMetrics(CollectorRegistry())))
    server.config.timeout_graceful_shutdown = 0
    with bind(Listen(host="127.0.0.1", port=0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield server, listener.getsockname()[1]
        server.should_exit = True
        await asyncio.wait_for(serving, 10)


async def test_a_request_cut_off_by_a_stop_is_told_so() -> None:
    app = Endless()
    async with served(app) as (server, port):
        asking = asyncio.create_task(exchange(port, request("GET", "/", "X-Request-Id: abc")))
        await asyncio.wait_for(app.asked.wait(), 5)
        server.should_exit = True
        answer = await asking

    assert (answer.status, answer.headers["content-type"]) == (503, "application/json")
    assert (answer.headers["x-request-id"], answer.json()["requestId"]) == ("abc", "abc")
    assert answer.json()["error"]["code"] == "UPSTREAM_UNAVAILABLE"
    assert int(answer.headers["retry-after"]) >= 1
    assert app.cancelled


async def test_an_answer_begun_before_a_stop_gets_no_second() -> None:
    app = Endless(begins=True)
    async with served(app) as (server, port):
        asking = asyncio.create_task(exchange(port, request("GET", "/")))
        await asyncio.wait_for(app.asked.wait(), 5)
        server.should_exit = True
        with pytest.raises(asyncio.IncompleteReadError) as cut:
            await asking

    assert cut.value.partial == b"part"
