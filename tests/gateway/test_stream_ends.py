"""A stream of events lasts as long as the session that opened it, and the session as long as somebody watches."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from tokhub.sync.v1 import sync_pb2

from services.gateway import standing
from services.gateway.sessions import SessionLife
from tests.gateway.signing_in import HERE, Serve, delete, get, sharing_sessions, sign_in
from tests.gateway.watching import Events


@pytest.fixture
async def serve(database_dsn: str) -> AsyncIterator[Serve]:
    """Starts gateways that keep their sessions in one database."""
    async with sharing_sessions(database_dsn) as start:
        yield start


@pytest.mark.parametrize("everywhere", ["session", "sessions"])
async def test_a_stream_ends_with_its_session_at_every_gateway(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, everywhere: str
) -> None:
    monkeypatch.setattr(standing, "LOOK", 0.05)
    one, other = await serve(), await serve()
    cookie = await sign_in(one)
    run = one.suite.sync.begin(sync_pb2.JOB_ALL)
    name, _, value = cookie.partition(": ")
    async with one.client.stream("GET", f"/admin/sync/runs/{run.row.id}/events", headers={name: value}) as answer:
        events = Events(answer)
        await events.next()
        await delete(other, f"/console/{everywhere}", cookie, HERE)
        told = [await events.block(), await events.block()]

    assert told[0]["event"] == "refused"
    assert json.loads(told[0]["data"]) == {"code": "UNAUTHORIZED", "message": "The session has ended: sign in again"}
    assert told[1] == {}


async def test_a_stream_outlives_looks_at_its_session(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "LOOK", 0.01)
    gateway = await serve()
    name, _, value = (await sign_in(gateway)).partition(": ")
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    path = f"/admin/sync/runs/{run.row.id}/events"
    async with gateway.client.stream("GET", path, headers={name: value}) as answer:
        events = Events(answer)
        await events.next()
        await asyncio.sleep(0.1)
        await run.finish()

        assert [told["state"] for told in await events.rest()] == ["SUCCEEDED"]


async def test_a_session_is_used_while_a_page_watches(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "LOOK", 0.2)
    gateway = await serve(life=SessionLife(idle=3, longest=3600))
    name, _, value = (await sign_in(gateway)).partition(": ")
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    path = f"/admin/sync/runs/{run.row.id}/events"
    async with gateway.client.stream("GET", path, headers={name: value}) as answer:
        events = Events(answer)
        await events.next()
        await asyncio.sleep(4)

        assert (await get(gateway, "/admin/stores", f"{name}: {value}")).status == 200


async def test_a_download_is_cut_off_with_its_session(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "LOOK", 0.05)
    gateway = await serve()
    gateway.suite.stats.export_may_end.clear()
    cookie = await sign_in(gateway)
    name, _, value = cookie.partition(": ")
    path = "/admin/export?dataset=video_daily"
    async with gateway.client.stream("GET", path, headers={name: value}) as answer:
        parts = answer.aiter_raw()
        await anext(parts)
        await delete(gateway, "/console/session", cookie, HERE)

        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            await anext(parts)
