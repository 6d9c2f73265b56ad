import json
import time
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tokhub.sync.v1 import account_pb2, sync_pb2
from tokhub.token.v1 import token_pb2

from services.gateway import standing
from tests.gateway.fake_runs import FakeRun
from tests.gateway.served import ADMIN, READ, Gateway, bearer
from tests.gateway.watching import Events

BASE = "/api/v1/integrations/tiktok"
METRICS = f"{BASE}/metrics"
SYNC = f"{BASE}/sync"
SYNCED = Timestamp(seconds=1_769_220_000, nanos=123_000_000)


async def test_metrics_are_the_figures_and_nothing_around_them(gateway: Gateway) -> None:
    gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics(
        username="jane",
        follower_count=5000,
        following_count=100,
        likes_count=10_000,
        video_count=0,
        last_sync_time=SYNCED,
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


async def begin(gateway: Gateway, user: str = "u-1") -> str:
    begun = await gateway.client.post(f"{BASE}/auth/init", params={"user_id": user}, headers=bearer(user))
    return str(begun.json()["state"])


async def test_a_consent_begins_with_where_to_come_back_to(gateway: Gateway) -> None:
    page = "http://localhost:3000/creator-dashboard/settings"

    answer = await gateway.client.post(
        f"{BASE}/auth/init", params={"user_id": "u-1", "redirect_uri": page}, headers=bearer()
    )

    assert (answer.status_code, set(answer.json())) == (200, {"authUrl", "state"})
    link, _ = gateway.suite.connections.links[answer.json()["state"]]
    assert (link.redirect_uri, link.provider) == (page, token_pb2.PROVIDER_LOGIN_KIT)


async def test_a_consent_ends_with_the_status(gateway: Gateway) -> None:
    gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics(
        username="jane", display_name="Jane", avatar_url="https://p.example/j.jpg", last_sync_time=SYNCED
    )
    parameters = {"code": "c", "state": await begin(gateway), "user_id": "u-1"}

    answer = await gateway.client.post(f"{BASE}/auth/callback", params=parameters, headers=bearer())
    status = await gateway.client.get(f"{BASE}/status/u-1", headers=bearer())

    assert (answer.status_code, answer.json()) == (200, status.json())
    assert answer.json() == {
        "isConnected": True,
        "openId": "open_u-1",
        "username": "jane",
        "displayName": "Jane",
        "avatarUrl": "https://p.example/j.jpg",
        "connectedAt": "2026-01-02T10:00:00.000Z",
        "lastSyncAt": "2026-01-24T02:00:00.123Z",
    }


async def test_the_state_of_another_creator_is_refused(gateway: Gateway) -> None:
    parameters = {"code": "c", "state": await begin(gateway, "u-2"), "user_id": "u-1"}

    answer = await gateway.client.post(f"{BASE}/auth/callback", params=parameters, headers=bearer("u-1"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "STATE_INVALID")


async def test_a_creator_acts_for_nobody_else(gateway: Gateway) -> None:
    about = {"user_id": "u-2"}
    calls = [
        gateway.client.get(f"{BASE}/status/u-2", headers=bearer()),
        gateway.client.post(f"{BASE}/auth/init", params=about, headers=bearer()),
        gateway.client.post(f"{BASE}/auth/callback", params={**about, "code": "c", "state": "s"}, headers=bearer()),
        gateway.client.delete(f"{BASE}/disconnect/u-2", headers=bearer()),
        gateway.client.post(f"{BASE}/sync/u-2", headers=bearer()),
        gateway.client.get(f"{METRICS}/u-2", headers=bearer()),
        gateway.client.get(f"{METRICS}/u-2?user_id=u-1", headers=bearer()),
        gateway.client.post(f"{BASE}/auth/init?user_id=u-2&user_id=u-1", headers=bearer()),
        gateway.client.post(f"{BASE}/auth/init?user_id=u-1&user_id=u-2", headers=bearer()),
    ]

    assert [(await call).status_code for call in calls] == [403] * len(calls)


async def test_a_disconnected_account_shows_nothing(gateway: Gateway) -> None:
    gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics(username="jane", last_sync_time=SYNCED)
    parameters = {"code": "c", "state": await begin(gateway), "user_id": "u-1"}
    await gateway.client.post(f"{BASE}/auth/callback", params=parameters, headers=ADMIN)

    gone = await gateway.client.delete(f"{BASE}/disconnect/u-1", headers=ADMIN)

    assert gone.json() == {"message": "TikTok account disconnected successfully", "statusCode": 200}
    for user in ("u-1", "u-2"):
        shown = (await gateway.client.get(f"{BASE}/status/{user}", headers=ADMIN)).json()
        assert shown.pop("isConnected") is False
        assert set(shown.values()) == {None}


async def test_the_events_of_a_sync_end_with_the_token(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "LOOK", 0.05)
    gateway.suite.connections.connect("u-1", 1)
    headers = bearer("u-1", exp=int(time.time()) + 2) | {"Accept": "text/event-stream"}
    async with gateway.client.stream("POST", f"{SYNC}/u-1", headers=headers) as answer:
        events = Events(answer)
        first = await events.next()
        told = [await events.block(), await events.block()]

    assert first["state"] == "QUEUED"
    assert (told[0]["event"], json.loads(told[0]["data"])["code"]) == ("refused", "UNAUTHORIZED")
    assert told[1] == {}
