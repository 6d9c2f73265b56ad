from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tokhub.sync.v1 import sync_pb2

from tests.gateway.served import ADMIN, READ, Gateway

RUNS = "/admin/sync/runs"
NOWHERE = f"{RUNS}/00000000-0000-4000-8000-000000000000"


def scheduled(name: str, schedule: str, hour: int) -> sync_pb2.ScheduledJob:
    due = Timestamp()
    due.FromDatetime(datetime(2026, 1, 25, hour, tzinfo=UTC))
    return sync_pb2.ScheduledJob(name=name, schedule=schedule, next_run_time=due)


async def test_the_status_is_what_the_schedules_are(gateway: Gateway) -> None:
    gateway.suite.sync.schedule.jobs.extend(
        [
            scheduled("refresh_tokens", "0 1 * * *", 1),
            scheduled("sync_user_daily", "0 2 * * *", 2),
            scheduled("sync_video_daily", "0 3 * * *", 3),
        ]
    )

    answer = await gateway.client.get("/admin/sync/status", headers=READ)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "data": {
            "enabled": True,
            "timezone": "UTC",
            "jobs": [
                {
                    "name": "refresh_tokens",
                    "schedule": "0 1 * * *",
                    "nextRun": "2026-01-25T01:00:00.000Z",
                    "running": False,
                },
                {
                    "name": "sync_user_daily",
                    "schedule": "0 2 * * *",
                    "nextRun": "2026-01-25T02:00:00.000Z",
                    "running": False,
                },
                {
                    "name": "sync_video_daily",
                    "schedule": "0 3 * * *",
                    "nextRun": "2026-01-25T03:00:00.000Z",
                    "running": False,
                },
            ],
        },
    }


async def test_a_status_without_times_has_null(gateway: Gateway) -> None:
    gateway.suite.sync.schedule.CopyFrom(
        sync_pb2.GetScheduleResponse(timezone="Asia/Jakarta", jobs=[sync_pb2.ScheduledJob(name="a", running=True)])
    )

    data = (await gateway.client.get("/admin/sync/status", headers=READ)).json()["data"]

    assert (data["enabled"], data["timezone"]) == (False, "Asia/Jakarta")
    assert data["jobs"] == [{"name": "a", "schedule": "", "nextRun": None, "running": True}]


async def test_runs_come_newest_first_page_by_page(gateway: Gateway) -> None:
    ids = [gateway.suite.sync.begin(sync_pb2.JOB_USER).row.id for _ in range(3)]

    first = (await gateway.client.get(f"{RUNS}?limit=2", headers=READ)).json()
    token = first["nextPageToken"]
    last = (await gateway.client.get(f"{RUNS}?limit=2&page_token={token}", headers=READ)).json()

    assert [run["id"] for run in first["data"] + last["data"]] == ids[::-1]
    assert (first["success"], first["count"], last["count"], last["nextPageToken"]) == (True, 2, 1, None)


async def test_only_active_runs_when_asked(gateway: Gateway) -> None:
    ended, active = (gateway.suite.sync.begin(sync_pb2.JOB_VIDEO) for _ in range(2))
    await ended.finish()

    answer = await gateway.client.get(f"{RUNS}?active=true", headers=READ)

    assert [run["id"] for run in answer.json()["data"]] == [active.row.id]


async def test_a_cancelled_run_is_answered_as_it_ended(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)

    answer = await gateway.client.post(f"{RUNS}/{run.row.id}/cancel", headers=ADMIN)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "data": {
            "id": run.row.id,
            "job": "all",
            "state": "CANCELLED",
            "total": 0,
            "processed": 0,
            "succeeded": 0,
            "failed": 0,
            "skipped": 0,
            "videos": 0,
            "startedAt": None,
            "finishedAt": "2026-01-01T01:00:00.000Z",
        },
    }


async def test_a_key_that_may_read_cancels_nothing(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)

    answer = await gateway.client.post(f"{RUNS}/{run.row.id}/cancel", headers=READ)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert run.row.state == sync_pb2.RUN_STATE_QUEUED


async def test_an_unknown_run_cannot_be_cancelled(gateway: Gateway) -> None:
    answer = await gateway.client.post(f"{NOWHERE}/cancel", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RUN_NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("active=1", "active must be true or false"),
        ("limit=501", "limit must be a whole number from 1 to 500"),
        (f"page_token={'x' * 257}", "page_token must be the nextPageToken of the page before"),
    ],
)
async def test_a_wrong_list_of_runs_is_refused(gateway: Gateway, query: str, message: str) -> None:
    answer = await gateway.client.get(f"{RUNS}?{query}", headers=READ)

    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)
