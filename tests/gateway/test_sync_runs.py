import asyncio
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from tokhub.sync.v1 import sync_pb2

from tests.gateway.fake_runs import FakeRun
from tests.gateway.scripted import NEW_YEAR
from tests.gateway.served import ADMIN, READ, Gateway

STORE = "store_jakarta_01"
ENDED = {
    "store_code": STORE,
    "outcome": sync_pb2.OUTCOME_SUCCESS,
    "message": "User stats synced successfully: 5000 followers, 50 videos",
    "records": 1,
    "duration": timedelta(milliseconds=2500),
}
FAILED = {
    "store_code": STORE,
    "outcome": sync_pb2.OUTCOME_FAILED,
    "reason": "UPSTREAM_UNAVAILABLE",
    "message": "TikTok cannot be reached",
    "duration": Duration(),
}


def connect_store(gateway: Gateway, code: str = STORE) -> None:
    gateway.suite.stores.add(code)
    gateway.suite.connections.connect(code, 1)


def ends_with(**values: Any) -> Any:
    async def play(run: FakeRun) -> None:
        await run.finish(**values)

    return play


async def order(gateway: Gateway, body: object = None, **headers: str) -> Any:
    return await gateway.client.post("/admin/sync/run", headers=ADMIN | headers, json={} if body is None else body)


async def test_one_store_answers_with_its_result(gateway: Gateway) -> None:
    connect_store(gateway)
    gateway.suite.sync.plan = ends_with(ended=[ENDED], processed=1, succeeded=1)

    answer = await order(gateway, {"store_code": STORE, "job": "user"})

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "data": {
            "success": True,
            "storeCode": STORE,
            "message": "User stats synced successfully: 5000 followers, 50 videos",
            "duration": 2500,
            "recordsProcessed": 1,
        },
    }


async def test_a_store_failed_from_outside_is_still_200(gateway: Gateway) -> None:
    connect_store(gateway)
    gateway.suite.sync.plan = ends_with(state=sync_pb2.RUN_STATE_FAILED, ended=[FAILED], processed=1, failed=1)

    answer = await order(gateway, {"store_code": STORE})

    assert answer.status_code == 200
    assert answer.json()["data"] == {
        "success": False,
        "storeCode": STORE,
        "message": "UPSTREAM_UNAVAILABLE: TikTok cannot be reached",
        "duration": 0,
        "recordsProcessed": 0,
    }


async def test_all_stores_answer_by_job(gateway: Gateway) -> None:
    jobs = [
        sync_pb2.JobProgress(job=sync_pb2.JOB_USER, total=300, processed=300, succeeded=298, failed=2),
        sync_pb2.JobProgress(job=sync_pb2.JOB_VIDEO, total=300, processed=300, succeeded=295, failed=3, skipped=2),
        sync_pb2.JobProgress(job=sync_pb2.JOB_REFRESH_TOKENS, total=300, refreshed=50),
    ]
    gateway.suite.sync.plan = ends_with(state=sync_pb2.RUN_STATE_PARTIAL, jobs=jobs, videos=15_000)

    answer = await gateway.client.post("/admin/sync/run", headers=ADMIN)

    assert answer.json() == {
        "success": True,
        "data": {
            "refresh_tokens": {"total": 300, "refreshed": 50, "failed": 0},
            "user_sync": {"total": 300, "successful": 298, "failed": 2, "skipped": 0},
            "video_sync": {"total": 300, "successful": 295, "failed": 3, "skipped": 2, "totalVideos": 15_000},
        },
    }
    assert list(answer.json()["data"]) == ["refresh_tokens", "user_sync", "video_sync"]


async def test_a_one_job_run_has_only_its_key(gateway: Gateway) -> None:
    gateway.suite.sync.plan = ends_with(jobs=[sync_pb2.JobProgress(job=sync_pb2.JOB_USER)])

    answer = await order(gateway, {"job": "user"})

    nothing = {"total": 0, "successful": 0, "failed": 0, "skipped": 0}
    assert answer.json()["data"] == {"user_sync": nothing}


async def test_a_run_not_carried_out_is_sync_failed(gateway: Gateway) -> None:
    gateway.suite.stores.add("a")
    gateway.suite.sync.plan = ends_with(state=sync_pb2.RUN_STATE_FAILED)

    answer = await order(gateway)

    assert answer.status_code == 500
    error = answer.json()["error"]
    assert error["code"] == "SYNC_FAILED"
    assert error["runId"] in gateway.suite.sync.runs


async def cancelled_while_waiting(gateway: Gateway, body: object, **values: Any) -> Any:
    waiting = asyncio.create_task(order(gateway, body))
    run = await gateway.suite.sync.started.get()
    await run.change(**values)
    await gateway.client.post(f"/admin/sync/runs/{run.row.id}/cancel", headers=ADMIN)
    return await waiting


async def test_who_waits_for_one_store_hears_of_its_cancel(gateway: Gateway) -> None:
    connect_store(gateway)

    answer = await cancelled_while_waiting(gateway, {"store_code": STORE})

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "data": {
            "success": False,
            "storeCode": STORE,
            "message": "CANCELLED: The run was cancelled",
            "duration": 0,
            "recordsProcessed": 0,
        },
    }


async def test_who_waits_for_all_stores_hears_of_the_cancel(gateway: Gateway) -> None:
    jobs = [sync_pb2.JobProgress(job=sync_pb2.JOB_USER, total=300, processed=120, succeeded=120)]

    answer = await cancelled_while_waiting(gateway, {"job": "user"}, jobs=jobs, total=300, processed=120)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": "CANCELLED: The run was cancelled: 120 of 300 stores had ended",
        "data": {"user_sync": {"total": 300, "successful": 120, "failed": 0, "skipped": 0}},
    }


async def test_a_cancelled_store_is_no_success_whatever_was_stored(gateway: Gateway) -> None:
    connect_store(gateway)

    answer = await cancelled_while_waiting(gateway, {"store_code": STORE}, ended=[ENDED])

    data = answer.json()["data"]
    assert (data["success"], data["recordsProcessed"]) == (False, 1)
    assert data["message"].startswith("CANCELLED: The run was cancelled; User stats synced")


async def test_unknown_and_unconnected_stores_are_told_apart(gateway: Gateway) -> None:
    gateway.suite.stores.add("lonely")

    unknown = await order(gateway, {"store_code": "nobody"})
    unconnected = await order(gateway, {"store_code": "lonely"})

    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "STORE_NOT_FOUND")
    assert (unconnected.status_code, unconnected.json()["error"]["code"]) == (404, "CONNECTION_NOT_FOUND")


async def test_respond_async_answers_before_the_run(gateway: Gateway) -> None:
    answer = await order(gateway, {"job": "video"}, Prefer="wait=10, Respond-Async")

    data = answer.json()["data"]
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/admin/sync/runs/{data['id']}"
    assert data == {
        "id": data["id"],
        "job": "video",
        "state": "QUEUED",
        "total": 0,
        "processed": 0,
        "succeeded": 0,
        "failed": 0,
        "skipped": 0,
        "videos": 0,
        "startedAt": None,
        "finishedAt": None,
    }


async def test_a_store_in_the_wrong_place_does_not_start_a_run_over_all(gateway: Gateway) -> None:
    answer = await gateway.client.post(f"/admin/sync/run?store_code={STORE}", headers=ADMIN)
    assert (answer.status_code, gateway.suite.sync.runs) == (400, {})
    assert answer.json()["error"]["message"] == "store_code is not a parameter of this request"


async def test_the_location_of_a_run_shows_it(gateway: Gateway) -> None:
    location = (await order(gateway, Prefer="respond-async")).headers["Location"]
    run = gateway.suite.sync.runs[location.rpartition("/")[2]]
    await run.change(state=sync_pb2.RUN_STATE_RUNNING, start_time=NEW_YEAR)
    await run.finish(videos=7)

    data = (await gateway.client.get(location, headers=READ)).json()["data"]

    assert data["state"] == "SUCCEEDED"
    assert data["videos"] == 7
    assert data["startedAt"] == "2026-01-01T00:00:00.000Z"
    assert data["finishedAt"] == "2026-01-01T01:00:00.000Z"


async def test_an_active_run_is_a_conflict_with_its_id(gateway: Gateway) -> None:
    first = await order(gateway, Prefer="respond-async")

    second = await order(gateway, Prefer="respond-async")

    assert second.status_code == 409
    assert second.json() == {
        "success": False,
        "error": {
            "code": "RUN_ALREADY_ACTIVE",
            "message": "A run of the same scope is active: watch that one",
            "runId": first.json()["data"]["id"],
        },
        "requestId": second.headers["X-Request-Id"],
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"job": "everything"}, "job must be one of all, user, video, refresh_tokens"),
        ({"job": None}, "job must be one of all, user, video, refresh_tokens"),
        ({"store_code": "a b"}, "store_code must be 1-50 alphanumeric characters with underscores or hyphens"),
        ({"all": True}, "all is not a field of this request"),
        ([], "request body must be a JSON object"),
    ],
)
async def test_a_wrong_order_starts_nothing(gateway: Gateway, body: object, message: str) -> None:
    answer = await order(gateway, body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == message
    assert not gateway.suite.sync.runs


async def test_a_client_that_leaves_does_not_end_the_run(gateway: Gateway) -> None:
    waiting = asyncio.create_task(order(gateway))
    run = await gateway.suite.sync.started.get()
    await run.watched()

    waiting.cancel()
    await asyncio.wait_for(run.unwatched(), 5)

    assert run.row.state == sync_pb2.RUN_STATE_QUEUED
    assert not gateway.suite.sync.cancelled


async def test_a_watch_that_breaks_is_taken_up_again(gateway: Gateway) -> None:
    gateway.suite.sync.break_watches = 2
    waiting = asyncio.create_task(order(gateway))
    run = await gateway.suite.sync.started.get()
    await run.unwatched()
    await run.finish(jobs=[sync_pb2.JobProgress(job=sync_pb2.JOB_USER)])

    assert (await waiting).status_code == 200


async def test_a_stopping_gateway_says_that_the_run_goes_on(gateway: Gateway) -> None:
    waiting = asyncio.create_task(order(gateway))
    await gateway.suite.sync.started.get()
    gateway.stopping.set()

    answer = await waiting

    assert answer.status_code == 503
    assert answer.json()["error"]["runId"] in gateway.suite.sync.runs
    assert int(answer.headers["Retry-After"]) >= 1


async def test_an_unknown_run_is_not_found(gateway: Gateway) -> None:
    nowhere = "/admin/sync/runs/00000000-0000-4000-8000-000000000000"
    for path in (nowhere, f"{nowhere}/events"):
        answer = await gateway.client.get(path, headers=ADMIN)

        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RUN_NOT_FOUND")

    wrong = await gateway.client.get("/admin/sync/runs/7", headers=ADMIN)
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (400, "run_id must be a UUID")
