import time

import pytest

from tests.sandbox.shopper import APP_KEY, APP_SECRET, Shopper

DAY = 86_400


async def test_a_shop_code_buys_a_pair(shopper: Shopper) -> None:
    answer = await shopper.shop_get(await shopper.shop_code("seller_0003"))
    data, now = answer["data"], time.time()
    assert (answer["code"], answer["message"], bool(answer["request_id"])) == (0, "success", True)
    assert data["access_token"][:8] == data["refresh_token"][:8] in ("ROW_CNRY", "TTP_CNRY")
    assert abs(data["access_token_expire_in"] - now - 7 * DAY) < 30
    assert abs(data["refresh_token_expire_in"] - now - 365 * DAY) < 30
    assert (data["user_type"], bool(data["seller_name"])) == (0, True)
    assert data["granted_scopes"] == ["seller.authorization.info", "data.shop_analytics.public.read"]
    assert "shops" not in data


async def test_prefixes_follow_the_region(shopper: Shopper) -> None:
    for number in range(1, 9):
        data = await shopper.connect_shop(f"seller_{number:04d}")
        assert data["access_token"][:3] == ("TTP" if data["seller_base_region"] == "US" else "ROW")


async def test_a_creator_has_neither_name_nor_region(shopper: Shopper) -> None:
    data = await shopper.connect_shop("creator_0001")
    assert (data["user_type"], data["seller_name"]) == (1, None)
    assert "seller_base_region" not in data


async def test_the_refresh_life_counts_from_consent(shopper: Shopper) -> None:
    await shopper.switch(shop_unix_time="sandbox")
    code = await shopper.shop_code()
    agreed = (await shopper.client.get("/sandbox/clock")).json()["unix"]
    await shopper.advance(1_000)
    first = (await shopper.shop_get(code))["data"]
    await shopper.advance(5 * DAY)
    second = (await shopper.shop_refresh(first["refresh_token"]))["data"]
    assert (
        first["refresh_token_expire_in"]
        == second["refresh_token_expire_in"]
        == pytest.approx(agreed + 365 * DAY, abs=2)
    )
    assert second["access_token_expire_in"] - first["access_token_expire_in"] >= 5 * DAY


async def test_a_grant_may_last_a_century(shopper: Shopper) -> None:
    await shopper.switch(shop_refresh_expiry="2123")
    assert abs((await shopper.connect_shop())["refresh_token_expire_in"] - 4841467787) <= 1


async def test_expiries_are_those_of_the_clients_watch(shopper: Shopper) -> None:
    data = await shopper.connect_shop()
    await shopper.advance(6 * DAY)
    data = (await shopper.shop_refresh(data["refresh_token"]))["data"]
    assert abs(data["access_token_expire_in"] - time.time() - 7 * DAY) < 30
    assert abs(data["refresh_token_expire_in"] - time.time() - 359 * DAY) < 30


async def test_a_shop_code_works_once_for_half_an_hour(shopper: Shopper) -> None:
    used, late = await shopper.shop_code(), await shopper.shop_code()
    assert (await shopper.shop_get(used))["code"] == 0
    again = await shopper.shop_get(used)
    assert (again["code"], again["message"], again["data"]) == (36004004, "invalid auth code", None)
    await shopper.advance(1_801)
    assert (await shopper.shop_get(late))["code"] == 36004004
    assert (await shopper.ledger())["codes_presented_again"] == 1


async def test_a_shop_refresh_rotates_and_kills_the_old(shopper: Shopper) -> None:
    first = await shopper.connect_shop()
    second = (await shopper.shop_refresh(first["refresh_token"]))["data"]
    assert second["refresh_token"] != first["refresh_token"]
    dead = await shopper.shop_refresh(first["refresh_token"])
    assert (dead["code"], dead["message"]) == (36004005, "can not find related auth record")
    seen = await shopper.ledger("/accounts/seller_0001")
    assert (seen["refreshes"], seen["dead_refresh_tokens_presented"]) == (1, 1)
    assert seen["grants"][0]["live_refresh_token"] == second["refresh_token"]


async def test_shop_rotation_can_be_soft(shopper: Shopper) -> None:
    await shopper.switch(shop_refresh_rotation="same")
    first = await shopper.connect_shop()
    assert (await shopper.shop_refresh(first["refresh_token"]))["data"]["refresh_token"] == first["refresh_token"]
    await shopper.switch(shop_refresh_rotation="grace")
    await shopper.shop_refresh(first["refresh_token"])
    await shopper.advance(59)
    assert (await shopper.shop_refresh(first["refresh_token"]))["code"] == 0
    await shopper.advance(61)
    assert (await shopper.shop_refresh(first["refresh_token"]))["code"] == 36004005


async def test_shop_reuse_can_end_the_family(shopper: Shopper) -> None:
    await shopper.switch(shop_reuse_revokes_family=True)
    first = await shopper.connect_shop()
    second = (await shopper.shop_refresh(first["refresh_token"]))["data"]
    await shopper.shop_refresh(first["refresh_token"])
    assert (await shopper.shop_refresh(second["refresh_token"]))["code"] == 36004005


async def test_login_tokens_are_worth_nothing_to_a_shop(shopper: Shopper) -> None:
    login, shop = await shopper.connect(), await shopper.connect_shop()
    assert (await shopper.shop_refresh(login["refresh_token"]))["code"] == 36004005
    assert (await shopper.refresh(shop["refresh_token"]))["error"] == "invalid_grant"
    assert (await shopper.user(shop["access_token"])).status_code == 401
    assert "access_token" in await shopper.refresh(login["refresh_token"])
    assert (await shopper.shop_refresh(shop["refresh_token"]))["code"] == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/api/v2/token/get", "/api/v2/token/refresh"])
async def test_token_paths_answer_get_only(shopper: Shopper, method: str, path: str) -> None:
    answer = await shopper.client.request(method, path)
    assert (answer.status_code, answer.text) == (404, "404 page not found")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/api/token/getAccessToken", "/api/token/refreshToken", "/api/v2/token"])
async def test_older_token_paths_are_gone(shopper: Shopper, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await shopper.client.request(method, path, params={"app_key": APP_KEY, "app_secret": APP_SECRET})
        assert (answer.status_code, answer.text) == (404, "404 page not found")


@pytest.mark.parametrize("name", ["app_key", "app_secret", "grant_type"])
async def test_a_wrong_parameter_is_named_with_200(shopper: Shopper, name: str) -> None:
    answer = await shopper.shop_refresh_answer("x", **{name: "authorization_code"})
    assert (answer.status_code, answer.json()["code"]) == (200, 98001004)
    assert f"Parameter {name} is invalid" in answer.json()["message"]
