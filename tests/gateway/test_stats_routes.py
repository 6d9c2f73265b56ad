from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tokhub.sync.v1 import sync_pb2

from services.gateway.openapi import shapes
from tests.gateway.served import ADMIN, Gateway

STORE = "store_jakarta_01"
WRITTEN = Timestamp(seconds=int(datetime(2026, 1, 24, 2, tzinfo=UTC).timestamp()))


async def test_user_stats_have_every_field_of_a_day(gateway: Gateway) -> None:
    gateway.suite.stores.add(STORE)
    day = sync_pb2.UserStats(
        id=1,
        store_code=STORE,
        snapshot_date="2026-01-24",
        follower_count=5000,
        following_count=100,
        likes_count=10_000,
        video_count=50,
        display_name="Store Jakarta",
        avatar_url="https://cdn.example/a.jpg",
        create_time=WRITTEN,
    )
    gateway.suite.stats.users.append(day)

    answer = await gateway.client.get(f"/admin/stores/{STORE}/user-stats?days=7", headers=ADMIN)

    assert answer.json() == {
        "success": True,
        "data": [
            {
                "id": 1,
                "storeCode": STORE,
                "snapshotDate": "2026-01-24",
                "followerCount": 5000,
                "followingCount": 100,
                "likesCount": 10_000,
                "videoCount": 50,
                "displayName": "Store Jakarta",
                "avatarUrl": "https://cdn.example/a.jpg",
                "createdAt": "2026-01-24T02:00:00.000Z",
            }
        ],
        "count": 1,
    }
    assert gateway.suite.stats.days_asked == [7]
    assert len(day.ListFields()) == len(day.DESCRIPTOR.fields) == len(shapes.USER_STATS)


def video(number: int) -> sync_pb2.VideoStats:
    return sync_pb2.VideoStats(
        id=number,
        store_code=STORE,
        snapshot_date="2026-01-24",
        video_id=f"video_{number}",
        view_count=1000,
        like_count=50,
        comment_count=0,
        description="Video description…",
        create_time=WRITTEN,
    )


async def test_video_stats_tell_zero_from_unknown(gateway: Gateway) -> None:
    gateway.suite.stores.add(STORE)
    gateway.suite.stats.videos.append(video(123))

    answer = await gateway.client.get(f"/admin/stores/{STORE}/video-stats", headers=ADMIN)

    assert answer.json() == {
        "success": True,
        "data": [
            {
                "id": 123,
                "storeCode": STORE,
                "snapshotDate": "2026-01-24",
                "videoId": "video_123",
                "viewCount": 1000,
                "likeCount": 50,
                "commentCount": 0,
                "shareCount": None,
                "description": "Video description…",
                "createdAt": "2026-01-24T02:00:00.000Z",
            }
        ],
        "count": 1,
    }
    assert gateway.suite.stats.days_asked == [30]


async def test_video_stats_of_many_pages_are_one_list(gateway: Gateway) -> None:
    gateway.suite.stores.add(STORE)
    gateway.suite.stats.videos += [video(number) for number in range(1234)]

    answer = await gateway.client.get(f"/admin/stores/{STORE}/video-stats", headers=ADMIN)

    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert body["count"] == 1234
    assert [day["id"] for day in body["data"]] == list(range(1234))


@pytest.mark.parametrize("days", ["0", "366", "-1", "1.0", "1e2", " 7", "+7", "", "x", "9" * 30, "٣"])
async def test_days_outside_the_rule_are_refused(gateway: Gateway, days: str) -> None:
    gateway.suite.stores.add(STORE)

    answer = await gateway.client.get(f"/admin/stores/{STORE}/user-stats", params={"days": days}, headers=ADMIN)

    assert answer.status_code == 400
    expected = {"code": "INVALID_REQUEST", "message": "days must be a whole number from 1 to 365"}
    assert answer.json()["error"] == expected


async def test_a_parameter_given_twice_is_refused(gateway: Gateway) -> None:
    gateway.suite.stores.add(STORE)

    answer = await gateway.client.get(f"/admin/stores/{STORE}/user-stats?days=7&days=8", headers=ADMIN)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "days must be given once"


@pytest.mark.parametrize("code", ["..%2Fsecret", "%2e%2e", "a%00b", "a b", "x" * 51, "ä"])
async def test_a_wrong_store_code_in_a_path_is_refused(gateway: Gateway, code: str) -> None:
    answer = await gateway.client.get(f"/admin/stores/{code}/user-stats", headers=ADMIN)

    assert answer.status_code in {400, 404}
    assert answer.json()["error"]["code"] in {"INVALID_REQUEST", "NOT_FOUND"}


async def test_sync_logs_have_every_field(gateway: Gateway) -> None:
    store_line = sync_pb2.SyncLog(
        id=1,
        store_code=STORE,
        job_name="sync_user_daily",
        status=sync_pb2.OUTCOME_SUCCESS,
        message="User stats synced successfully: 5000 followers, 50 videos",
        duration_ms=2500,
        run_time=WRITTEN,
    )
    job_line = sync_pb2.SyncLog(
        id=2, job_name="sync_user_daily", status=sync_pb2.OUTCOME_SKIPPED, raw_error="429", run_time=WRITTEN
    )
    gateway.suite.stores.add(STORE)
    gateway.suite.sync.logs += [store_line, job_line]

    answer = await gateway.client.get("/admin/sync/logs", headers=ADMIN)

    first = {
        "id": 1,
        "storeCode": STORE,
        "jobName": "sync_user_daily",
        "status": "SUCCESS",
        "message": "User stats synced successfully: 5000 followers, 50 videos",
        "rawError": None,
        "durationMs": 2500,
        "runTime": "2026-01-24T02:00:00.000Z",
    }
    second = first | {
        "id": 2,
        "storeCode": None,
        "status": "SKIPPED",
        "message": "",
        "rawError": "429",
        "durationMs": 0,
    }
    assert answer.json() == {"success": True, "data": [first, second], "count": 2}
    for path in (f"/admin/sync/logs?store_code={STORE}", f"/admin/stores/{STORE}/sync-logs"):
        assert (await gateway.client.get(path, headers=ADMIN)).json() == {"success": True, "data": [first], "count": 1}


async def test_the_log_limit_is_kept_to_its_rule(gateway: Gateway) -> None:
    for query, status in (("", 200), ("?limit=500", 200), ("?limit=501", 400), ("?limit=0", 400)):
        assert (await gateway.client.get(f"/admin/sync/logs{query}", headers=ADMIN)).status_code == status

    assert gateway.suite.sync.limits_asked == [50, 500]
