from datetime import UTC, datetime

import pytest
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from tests.gateway.served import ADMIN, Gateway

NEW_STORE = {
    "store_code": "store_jakarta_01",
    "store_name": "Store Jakarta Pusat",
    "pic_name": "John Doe",
    "pic_contact": "john@example.com",
}
SYNCED = {
    "pic_contact": "john@example.com",
    "last_sync_time": datetime(2026, 1, 24, 2, 0, 0, 123_999, tzinfo=UTC),
    "latest_user_stats": sync_pb2.LatestUserStats(follower_count=5000, likes_count=10_000, video_count=50),
    "latest_video_stats": sync_pb2.LatestVideoStats(total_videos=50, total_views=100_000),
}


async def test_the_store_list_joins_store_and_connection(gateway: Gateway) -> None:
    gateway.suite.stores.add("store_jakarta_01", store_name="Store Jakarta Pusat", **SYNCED)
    gateway.suite.connections.connect("store_jakarta_01", 123, account_id="user_open_id_123")

    answer = await gateway.client.get("/admin/stores", headers=ADMIN)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "data": [
            {
                "storeCode": "store_jakarta_01",
                "storeName": "Store Jakarta Pusat",
                "picName": "John Doe",
                "picContact": "john@example.com",
                "createdAt": "2026-01-01T00:00:00.000Z",
                "connectionStatus": "CONNECTED",
                "accountId": 123,
                "accountIdentifier": "user_open_id_123",
                "connectedAt": "2026-01-02T10:00:00.000Z",
                "lastSyncTime": "2026-01-24T02:00:00.123Z",
                "tokenExpiresAt": "2026-01-25T10:00:00.000Z",
                "latestUserStats": {"followerCount": 5000, "likesCount": 10_000, "videoCount": 50},
                "latestVideoStats": {"totalVideos": 50, "totalViews": 100_000},
            }
        ],
        "count": 1,
    }


async def test_stores_come_a_page_at_a_time_if_wanted(gateway: Gateway) -> None:
    for code in ("a", "b", "c"):
        gateway.suite.stores.add(code)
        gateway.suite.connections.connect(code, ord(code))

    first = (await gateway.client.get("/admin/stores?limit=2", headers=ADMIN)).json()
    after = {"page_token": first["nextPageToken"]}
    rest = (await gateway.client.get("/admin/stores", params=after, headers=ADMIN)).json()

    assert [store["storeCode"] for store in first["data"] + rest["data"]] == ["a", "b", "c"]
    assert [store["accountId"] for store in rest["data"]] == [ord("c")]
    assert (first["count"], rest["count"], rest["nextPageToken"]) == (2, 1, None)


async def test_all_stores_are_one_answer_unless_asked_otherwise(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.routes.stores.PAGE", 2)
    for code in ("a", "b", "c", "d", "e"):
        gateway.suite.stores.add(code)
    whole = (await gateway.client.get("/admin/stores", headers=ADMIN)).json()
    assert (whole.keys(), whole["count"]) == ({"success", "data", "count"}, 5)


@pytest.mark.parametrize("limit", ["0", "501", "-1", "ten", ""])
async def test_a_page_of_stores_has_one_to_five_hundred(gateway: Gateway, limit: str) -> None:
    answer = await gateway.client.get("/admin/stores", params={"limit": limit}, headers=ADMIN)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_what_a_new_store_lacks_is_null(gateway: Gateway) -> None:
    gateway.suite.stores.add("fresh")

    data = (await gateway.client.get("/admin/stores/fresh", headers=ADMIN)).json()["data"]

    absent = {
        "picContact",
        "accountId",
        "accountIdentifier",
        "connectedAt",
        "lastSyncTime",
        "tokenExpiresAt",
        "latestUserStats",
        "latestVideoStats",
    }
    assert {name for name, value in data.items() if value is None} == absent
    assert data["connectionStatus"] == "NOT_CONNECTED"


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (token_pb2.CONNECTION_STATUS_ACTIVE, "CONNECTED"),
        (token_pb2.CONNECTION_STATUS_SUSPECT, "CONNECTED"),
        (token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED, "NEED_RECONNECT"),
        (token_pb2.CONNECTION_STATUS_DISCONNECTED, "DISCONNECTED"),
    ],
)
async def test_a_connection_status_has_its_store_word(gateway: Gateway, status: int, shown: str) -> None:
    gateway.suite.stores.add("s1")
    gateway.suite.connections.connect("s1", 1, status=status)

    answer = await gateway.client.get("/admin/stores/s1", headers=ADMIN)

    assert answer.json()["data"]["connectionStatus"] == shown


async def test_a_disconnected_store_has_no_token_that_expires(gateway: Gateway) -> None:
    gateway.suite.stores.add("s1")
    gone = token_pb2.CONNECTION_STATUS_DISCONNECTED
    gateway.suite.connections.connect("s1", 1, status=gone, access_expire_time=None)

    answer = await gateway.client.get("/admin/stores/s1", headers=ADMIN)

    assert answer.json()["data"]["tokenExpiresAt"] is None


async def test_a_live_connection_stands_before_a_disconnected_one(gateway: Gateway) -> None:
    gateway.suite.stores.add("s1")
    gateway.suite.connections.connect("s1", 1)
    gateway.suite.connections.connect("s1", 2, status=token_pb2.CONNECTION_STATUS_DISCONNECTED)

    answer = await gateway.client.get("/admin/stores/s1", headers=ADMIN)

    assert answer.json()["data"]["accountId"] == 1


async def test_a_shop_connection_does_not_stand_for_a_store(gateway: Gateway) -> None:
    gateway.suite.stores.add("s1")
    gateway.suite.connections.connect("s1", 1, status=token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED)
    gateway.suite.connections.connect("s1", 2, provider=token_pb2.PROVIDER_TIKTOK_SHOP)

    store = (await gateway.client.get("/admin/stores/s1", headers=ADMIN)).json()["data"]
    accounts = (await gateway.client.get("/admin/stores/s1/accounts", headers=ADMIN)).json()["data"]

    assert (store["connectionStatus"], store["accountId"]) == ("NEED_RECONNECT", 1)
    assert [account["id"] for account in accounts] == [1]


async def test_the_store_list_holds_every_page(gateway: Gateway) -> None:
    for number in range(1203):
        gateway.suite.stores.add(f"s{number:04}")
        gateway.suite.connections.connect(f"s{number:04}", number)

    body = (await gateway.client.get("/admin/stores", headers=ADMIN)).json()

    assert body["count"] == 1203
    assert [store["accountId"] for store in body["data"]] == list(range(1203))


async def test_a_created_store_names_the_next_step(gateway: Gateway) -> None:
    answer = await gateway.client.post("/admin/stores", headers=ADMIN, json=NEW_STORE)

    assert answer.status_code == 201
    assert answer.json() == {
        "success": True,
        "data": {
            "storeCode": "store_jakarta_01",
            "storeName": "Store Jakarta Pusat",
            "picName": "John Doe",
            "picContact": "john@example.com",
            "createdAt": "2026-01-01T00:00:00.000Z",
        },
        "message": "Store created successfully",
        "next_step": "Connect TikTok account at: GET /connect/tiktok?store_code=store_jakarta_01",
    }


async def test_an_existing_code_is_a_conflict(gateway: Gateway) -> None:
    gateway.suite.stores.add("store_jakarta_01")

    answer = await gateway.client.post("/admin/stores", headers=ADMIN, json=NEW_STORE)

    assert answer.status_code == 409
    assert answer.json() == {
        "success": False,
        "error": {"code": "STORE_EXISTS", "message": "Store with this code already exists"},
        "requestId": answer.headers["X-Request-Id"],
    }


@pytest.mark.parametrize("field", ["pic_contact"])
async def test_an_optional_field_may_be_absent_or_null(gateway: Gateway, field: str) -> None:
    absent = {name: value for name, value in NEW_STORE.items() if name != field}

    first = await gateway.client.post("/admin/stores", headers=ADMIN, json=absent)
    second = await gateway.client.post("/admin/stores", headers=ADMIN, json={**absent, "store_code": "b", field: None})

    assert [first.status_code, second.status_code] == [201, 201]
    assert first.json()["data"]["picContact"] is None
    assert second.json()["data"]["picContact"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"store_code": ""}, "store_code must be 1-50 alphanumeric characters with underscores or hyphens"),
        ({"store_code": "a" * 51}, "store_code must be 1-50 alphanumeric characters with underscores or hyphens"),
        ({"store_code": "ä"}, "store_code must be 1-50 alphanumeric characters with underscores or hyphens"),
        ({"store_code": "a\n"}, "store_code must be 1-50 alphanumeric characters with underscores or hyphens"),
        ({"store_code": 7}, "store_code must be 1-50 alphanumeric characters with underscores or hyphens"),
        ({"store_name": ""}, "store_name must be 1-255 characters"),
        ({"store_name": "x" * 256}, "store_name must be 1-255 characters"),
        ({"store_name": None}, "store_name must be 1-255 characters"),
        ({"store_name": "a\0b"}, "store_name must be 1-255 characters"),
        ({"pic_name": ["x"]}, "pic_name must be 1-255 characters"),
        ({"pic_contact": "x" * 1001}, "pic_contact must be a string of at most 1,000 characters"),
        ({"tenant": "x"}, "tenant is not a field of this request"),
    ],
)
async def test_a_wrong_field_is_named_with_its_rule(gateway: Gateway, change: dict[str, object], message: str) -> None:
    answer = await gateway.client.post("/admin/stores", headers=ADMIN, json=NEW_STORE | change)

    assert answer.status_code == 400
    assert answer.json()["error"] == {"code": "INVALID_REQUEST", "message": message}
    assert not gateway.suite.stores.rows


async def test_an_unknown_store_is_not_found(gateway: Gateway) -> None:
    for path in ("", "/accounts", "/user-stats", "/video-stats", "/sync-logs"):
        answer = await gateway.client.get(f"/admin/stores/nobody{path}", headers=ADMIN)

        assert answer.status_code == 404
        assert answer.json()["error"] == {"code": "STORE_NOT_FOUND", "message": "Store not found"}


async def test_an_account_is_shown_without_its_tokens(gateway: Gateway) -> None:
    gateway.suite.stores.add("store_jakarta_01", **SYNCED)
    gateway.suite.connections.connect("store_jakarta_01", 1, account_id="user_open_id_123")

    answer = await gateway.client.get("/admin/stores/store_jakarta_01/accounts", headers=ADMIN)

    assert answer.json() == {
        "success": True,
        "data": [
            {
                "id": 1,
                "storeCode": "store_jakarta_01",
                "platform": "tiktok",
                "hasValidToken": True,
                "accountIdentifier": "user_open_id_123",
                "lastSyncAt": "2026-01-24T02:00:00.123Z",
                "createdAt": "2026-01-02T10:00:00.000Z",
                "updatedAt": "2026-01-24T02:00:00.000Z",
            }
        ],
        "count": 1,
    }


@pytest.mark.parametrize(
    ("status", "hours_left", "valid"),
    [
        (token_pb2.CONNECTION_STATUS_ACTIVE, -1.0, True),
        (token_pb2.CONNECTION_STATUS_SUSPECT, 0.5, True),
        (token_pb2.CONNECTION_STATUS_SUSPECT, -0.5, False),
        (token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED, 1.0, False),
        (token_pb2.CONNECTION_STATUS_DISCONNECTED, 1.0, False),
    ],
)
async def test_a_token_is_valid_while_it_can_be_had(
    gateway: Gateway, status: int, hours_left: float, valid: bool
) -> None:
    gateway.suite.stores.add("s1")
    gateway.suite.connections.connect("s1", 1, status=status, hours_left=hours_left)

    answer = await gateway.client.get("/admin/stores/s1/accounts", headers=ADMIN)

    assert answer.json()["data"][0]["hasValidToken"] is valid
