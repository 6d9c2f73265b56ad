"""What a client of TikTok Shop routes is answered, field by field."""

import json
from datetime import UTC, datetime

import pytest
from tokhub.token.v1 import token_pb2

from libs.errors import (
    AccountAlreadyConnected,
    ReauthRequired,
    ShopChoiceRequired,
    StateExpired,
    StateReused,
    TokhubError,
)
from tests.gateway.served import ADMIN, Gateway, bearer

BASE = "/api/v1/tiktok"
ME = token_pb2.Owner(kind=token_pb2.OWNER_KIND_USER, id="u-1")
CREATED, UPDATED = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
SHOP = {
    "shopId": "shop_123456",
    "shopName": "My TikTok Shop",
    "region": "US",
    "isActive": True,
    "createdAt": "2024-01-01T00:00:00.000Z",
    "updatedAt": "2024-01-02T00:00:00.000Z",
}
NONE = {"isConnected": False, "shopId": None, "shopName": None}


@pytest.fixture
def connected(gateway: Gateway) -> token_pb2.Connection:
    """My shop, connected."""
    return gateway.suite.connections.connect(
        "u-1",
        1,
        owner=ME,
        provider=token_pb2.PROVIDER_TIKTOK_SHOP,
        connect_time=CREATED,
        update_time=UPDATED,
        shops=[token_pb2.Shop(id="shop_123456", name="My TikTok Shop", region="US")],
    )


async def state_for(gateway: Gateway, user: str = "u-1") -> str:
    begun = await gateway.client.post(f"{BASE}/auth/initiate", json={}, headers=bearer(user))
    return str(begun.json()["state"])


async def test_a_consent_begins_with_an_address_and_its_state(gateway: Gateway) -> None:
    body = {"state": "optional-custom-state", "scope": "optional-scopes"}

    answer = await gateway.client.post(f"{BASE}/auth/initiate", json=body, headers=bearer())

    assert answer.status_code == 200
    assert set(answer.json()) == {"authUrl", "state"}
    assert answer.json()["state"] in answer.json()["authUrl"]
    link, _ = gateway.suite.connections.links[answer.json()["state"]]
    assert (link.provider, link.owner) == (token_pb2.PROVIDER_TIKTOK_SHOP, ME)


async def test_a_consent_ends_with_the_shop(gateway: Gateway) -> None:
    body = {"code": "c", "state": await state_for(gateway), "shop_id": "7494", "shop_region": "US"}

    answer = await gateway.client.post(f"{BASE}/auth/callback", json=body, headers=bearer())

    assert (answer.status_code, set(answer.json())) == (200, set(SHOP))
    assert gateway.suite.connections.completions[0].shop_id == "7494"


async def test_the_state_of_another_user_is_refused(gateway: Gateway) -> None:
    body = {"code": "c", "state": await state_for(gateway, "u-2")}

    answer = await gateway.client.post(f"{BASE}/auth/callback", json=body, headers=bearer("u-1"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "STATE_INVALID")
    assert not gateway.suite.connections.rows


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (StateExpired(), 401),
        (StateReused(), 401),
        (AccountAlreadyConnected(), 409),
    ],
)
async def test_a_consent_that_cannot_be_taken_is_told(gateway: Gateway, failure: TokhubError, status: int) -> None:
    body = {"code": "c", "state": await state_for(gateway)}
    gateway.suite.connections.script.fail_next = failure

    answer = await gateway.client.post(f"{BASE}/auth/callback", json=body, headers=bearer())

    assert (answer.status_code, answer.json()["success"]) == (status, False)


async def test_a_choice_of_shops_is_named(gateway: Gateway) -> None:
    body = {"code": "c", "state": await state_for(gateway)}
    shops = [{"id": "1", "name": "One", "region": "GB"}, {"id": "2", "name": "Two", "region": "US"}]
    gateway.suite.connections.script.fail_next = ShopChoiceRequired(metadata={"shops": json.dumps(shops)})

    answer = await gateway.client.post(f"{BASE}/auth/callback", json=body, headers=bearer())

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "SHOP_CHOICE_REQUIRED")
    assert answer.json()["error"]["shops"] == shops


@pytest.mark.parametrize("body", [{}, {"code": "c"}, {"state": "s"}, {"code": "", "state": "s"}, {"x": 1}])
async def test_a_callback_without_code_and_state_is_refused(gateway: Gateway, body: dict[str, object]) -> None:
    answer = await gateway.client.post(f"{BASE}/auth/callback", json=body, headers=bearer())

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.usefixtures("connected")
async def test_the_shop_is_shown_to_its_user(gateway: Gateway) -> None:
    info = await gateway.client.get(f"{BASE}/shop/info", headers=bearer())
    status = await gateway.client.get(f"{BASE}/auth/status", headers=bearer())

    assert (info.status_code, info.json()) == (200, SHOP)
    assert (status.status_code, status.json()) == (
        200,
        {"isConnected": True, "shopId": "shop_123456", "shopName": "My TikTok Shop"},
    )


async def test_a_shop_that_needs_consent_again_is_not_active(gateway: Gateway, connected: token_pb2.Connection) -> None:
    connected.status = token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED

    assert (await gateway.client.get(f"{BASE}/shop/info", headers=bearer())).json() == {**SHOP, "isActive": False}
    assert (await gateway.client.get(f"{BASE}/auth/status", headers=bearer())).json()["isConnected"] is False


@pytest.mark.usefixtures("connected")
async def test_a_disconnected_shop_is_gone(gateway: Gateway) -> None:
    gone = await gateway.client.delete(f"{BASE}/shop/disconnect", headers=bearer())

    assert gone.json() == {"message": "TikTok Shop disconnected successfully", "statusCode": 200}
    assert (await gateway.client.get(f"{BASE}/shop/info", headers=bearer())).status_code == 404
    assert (await gateway.client.get(f"{BASE}/auth/status", headers=bearer())).json() == NONE


@pytest.mark.usefixtures("connected")
async def test_another_users_shop_is_nobody_elses(gateway: Gateway) -> None:
    calls = [("GET", "shop/info"), ("POST", "auth/refresh"), ("DELETE", "shop/disconnect")]

    answers = [await gateway.client.request(verb, f"{BASE}/{path}", headers=bearer("u-2")) for verb, path in calls]

    assert [(one.status_code, one.json()["error"]["code"]) for one in answers] == [(404, "CONNECTION_NOT_FOUND")] * 3
    assert (await gateway.client.get(f"{BASE}/auth/status", headers=bearer("u-2"))).json() == NONE


@pytest.mark.usefixtures("connected")
async def test_a_token_is_refreshed_by_hand(gateway: Gateway) -> None:
    answer = await gateway.client.post(f"{BASE}/auth/refresh", headers=bearer())

    assert (answer.status_code, answer.json()) == (200, {"success": True, "message": "Token refreshed successfully"})
    assert gateway.suite.tokens.refreshes[0].rule == token_pb2.REFRESH_RULE_ALWAYS


@pytest.mark.usefixtures("connected")
async def test_a_token_that_tiktok_refuses_is_told(gateway: Gateway) -> None:
    gateway.suite.tokens.script.fail_next = ReauthRequired()

    answer = await gateway.client.post(f"{BASE}/auth/refresh", headers=bearer())

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "REAUTH_REQUIRED")


async def test_the_shop_routes_are_for_users_alone(gateway: Gateway) -> None:
    answer = await gateway.client.get(f"{BASE}/auth/status", headers=ADMIN)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_a_browser_may_come_back_to_the_same_address(gateway: Gateway) -> None:
    answer = await gateway.client.get(f"{BASE}/auth/callback", params={"code": "c", "state": await state_for(gateway)})
    again = await gateway.client.get(f"{BASE}/auth/callback", params={"code": "c", "state": "x"})

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert (again.status_code, again.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
