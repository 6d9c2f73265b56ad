from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from tokhub.sync.v1 import account_pb2, sync_pb2

from tests.gateway.fake_runs import FakeRun
from tests.gateway.served import ADMIN, READ, Gateway

METRICS = "/api/v1/integrations/tiktok/metrics"
SYNC = "/api/v1/integrations/tiktok/sync"


async def test_metrics_are_the_figures_and_nothing_around_them(gateway: Gateway) -> None:
    gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics(
        username="jane",
        follower_count=5000,
        following_count=100,
        likes_count=10_000,
        video_count=0,
        last_sync_time=Timestamp(seconds=1_769_220_000, nanos=123_000_000),
    )

    answer = await gateway.client.get(f"{METRICS}/u-1", headers=READ)

    assert answer.status_code == 200
    assert answer.json() == {
        "followerCount": 5000,
        "followingCount": 100,
        "likeCount": 10_000,
        "videoCount": 0,
        "lastSyncAt": "2026-01-24T02:00:00.123Z",
    }


async def test_metrics_before_the_first_sync_are_null(gateway: Gateway) -> None:
    gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics()

    answer = await gateway.client.get(f"{METRICS}/u-1", headers=READ)

    assert answer.json() == dict.fromkeys(
        ("followerCount", "followingCount", "likeCount", "videoCount", "lastSyncAt"), None
    )


async def test_a_user_who_never_connected_is_not_found(gateway: Gateway) -> None:
    answer = await gateway.client.get(f"{METRICS}/nobody", headers=READ)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "CONNECTION_NOT_FOUND")


async def test_metrics_are_not_for_everybody(gateway: Gateway) -> None:
    gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics()

    assert (await gateway.client.get(f"{METRICS}/u-1")).status_code == 401


async def test_a_user_id_of_other_characters_is_refused(gateway: Gateway) -> None:
    answer = await gateway.client.get(f"{METRICS}/{'x' * 65}", headers=READ)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_sync_of_a_creator_answers_with_its_result(gateway: Gateway) -> None:
    gateway.suite.connections.connect("u-1", 1)

    async def succeed(run: FakeRun) -> None:
        ended = {"user_id": "u-1", "outcome": sync_pb2.OUTCOME_SUCCESS, "message": "Synced", "records": 51}
        await run.finish(ended=[{**ended, "duration": timedelta(seconds=2)}], processed=1, succeeded=1)

    gateway.suite.sync.plan = succeed
    answer = await gateway.client.post(f"{SYNC}/u-1", headers=ADMIN)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "data": {"success": True, "userId": "u-1", "message": "Synced", "duration": 2000, "recordsProcessed": 51},
    }


async def test_a_creator_who_never_connected_cannot_be_synced(gateway: Gateway) -> None:
    answer = await gateway.client.post(f"{SYNC}/nobody", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "CONNECTION_NOT_FOUND")


async def test_a_second_sync_of_a_creator_names_the_first(gateway: Gateway) -> None:
    gateway.suite.connections.connect("u-1", 1)
    gateway.suite.sync.begin(sync_pb2.JOB_ALL, user_id="u-1")

    answer = await gateway.client.post(f"{SYNC}/u-1", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "RUN_ALREADY_ACTIVE")
