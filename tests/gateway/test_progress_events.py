import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from tokhub.sync.v1 import sync_pb2

from services.gateway import event_stream
from tests.gateway.fake_runs import FakeRun
from tests.gateway.served import ADMIN, ADMIN_KEY, Gateway
from tests.gateway.watching import Events

EVENTS = {"Accept": "text/event-stream"}


@asynccontextmanager
async def watching(gateway: Gateway, run: FakeRun, **headers: str) -> AsyncIterator[Events]:
    path = f"/admin/sync/runs/{run.row.id}/events"
    async with gateway.client.stream("GET", path, headers=ADMIN | headers) as answer:
        assert answer.status_code == 200
        yield Events(answer)


async def test_a_run_started_as_events_tells_its_whole_story(gateway: Gateway) -> None:
    async with gateway.client.stream("POST", "/admin/sync/run", headers=ADMIN | EVENTS) as answer:
        events = Events(answer)
        first = await events.next()
        run = gateway.suite.sync.runs[first["runId"]]
        await run.change(state=sync_pb2.RUN_STATE_RUNNING)
        second = await events.next()
        await run.finish()
        rest = await events.rest()

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["location"] == f"/admin/sync/runs/{first['runId']}"
    assert [first["state"], second["state"], *(event["state"] for event in rest)] == ["QUEUED", "RUNNING", "SUCCEEDED"]


async def test_a_client_that_knows_no_chunks_gets_none(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    await run.finish()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"GET /admin/sync/runs/{run.row.id}/events HTTP/1.0\r\nX-API-KEY: {ADMIN_KEY}\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()

    assert b"chunked" not in head
    assert body.startswith(b"retry: 1000\n\nevent: progress\n")
    assert body.endswith(b"\n\n")


async def test_a_progress_event_holds_its_zeros(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    run.row.total = 2
    store = {"store_code": "a", "outcome": sync_pb2.OUTCOME_FAILED, "reason": "REAUTH_REQUIRED"}
    await run.change(
        processed=1,
        failed=1,
        ended=[store | {"duration": timedelta(seconds=1.5)}],
        jobs=[sync_pb2.JobProgress(job=sync_pb2.JOB_USER, total=2)],
    )

    async with watching(gateway, run) as events:
        event = await events.next()

    counts = {"total": 2, "processed": 1, "succeeded": 0, "failed": 1, "skipped": 0}
    assert event == {
        "runId": run.row.id,
        "sequence": 1,
        "job": "all",
        "state": "QUEUED",
        **counts,
        "videos": 0,
        "percent": 50.0,
        "eta": None,
        "endedStores": [
            {
                "storeCode": "a",
                "outcome": "FAILED",
                "reason": "REAUTH_REQUIRED",
                "message": "",
                "sequence": 1,
                "records": 0,
                "duration": 1500,
            }
        ],
        "jobs": [
            {"job": "user", "total": 2, "processed": 0, "succeeded": 0, "failed": 0, "skipped": 0, "refreshed": 0}
        ],
    }


async def test_a_resumed_watch_shows_only_what_is_new(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    for code in "abc":
        await run.change(ended=[{"store_code": code}])

    async with watching(gateway, run, **{"Last-Event-ID": "2"}) as events:
        event = await events.next()
        await run.finish()
        rest = await events.rest()

    assert [one["storeCode"] for one in event["endedStores"]] == ["c"]
    assert [event["sequence"], *(one["sequence"] for one in rest)] == [3, 4]


async def test_a_watch_with_nothing_new_waits_for_it(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    await run.change(processed=1)

    async with watching(gateway, run, **{"Last-Event-ID": "1"}) as events:
        await run.watched()
        await run.finish()
        rest = await events.rest()

    assert [one["sequence"] for one in rest] == [2]


async def test_an_ended_run_seen_to_its_end_is_204(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    await run.finish()

    path = f"/admin/sync/runs/{run.row.id}/events"
    answer = await gateway.client.get(path, headers=ADMIN | {"Last-Event-ID": "1"})

    assert answer.status_code == 204


async def test_an_id_from_another_run_starts_from_the_present(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    await run.finish()

    async with watching(gateway, run, **{"Last-Event-ID": "99"}) as events:
        assert [event["sequence"] for event in await events.rest()] == [1]


@pytest.mark.parametrize("seen", ["-1", "x", "1.5", str(2**63), "9" * 400, "٣"])
async def test_an_impossible_last_event_id_is_refused(gateway: Gateway, seen: str) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)

    path = f"/admin/sync/runs/{run.row.id}/events"
    answer = await gateway.client.get(path, headers=httpx.Headers(ADMIN | {"Last-Event-ID": seen}, encoding="utf-8"))

    assert answer.status_code == 400


async def test_two_last_event_ids_are_refused(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)

    path = f"/admin/sync/runs/{run.row.id}/events"
    headers = httpx.Headers([*ADMIN.items(), ("Last-Event-ID", "1"), ("Last-Event-ID", "2")])
    answer = await gateway.client.get(path, headers=headers)

    assert answer.status_code == 400


async def test_a_watcher_that_leaves_ends_only_its_watch(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    async with watching(gateway, run) as events:
        await events.next()

    await asyncio.wait_for(run.unwatched(), 5)

    assert run.row.state == sync_pb2.RUN_STATE_QUEUED
    assert run.watchers == 0


async def test_a_broken_watch_resumes_without_repeating(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    gateway.suite.sync.break_watches = 2
    await run.change(processed=1)

    async with watching(gateway, run) as events:
        first = await events.next()
        await run.finish()
        rest = await events.rest()

    assert [first["sequence"], *(one["sequence"] for one in rest)] == [1, 2]


async def test_an_ended_run_shows_every_page_of_its_stores(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    run.most_ended = 2
    for code in "abcde":
        await run.change(ended=[{"store_code": code}])
    await run.finish()

    async with watching(gateway, run) as events:
        told = await events.rest()

    assert [store["storeCode"] for event in told for store in event["endedStores"]] == list("abcde")
    assert [event["sequence"] for event in told] == [2, 4, 6]


async def test_a_stopping_gateway_ends_its_streams(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    async with watching(gateway, run) as events:
        await events.next()
        gateway.stopping.set()

        assert await events.rest() == []

    assert run.row.state == sync_pb2.RUN_STATE_QUEUED


async def test_silence_is_filled_with_heartbeats(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT", 0.05)
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)

    async with watching(gateway, run) as events:
        await events.next()

        assert await events.block() == {"comment": "heartbeat"}


async def test_a_head_of_events_ends_at_once(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)

    answer = await gateway.client.head(f"/admin/sync/runs/{run.row.id}/events", headers=ADMIN)

    assert answer.status_code == 200
    assert answer.content == b""
