import time

import pytest

from tests.sandbox.shopper import APP_KEY, APP_SECRET, SHOPS, Shopper


async def refused(shopper: Shopper, token: str, secret: str = APP_SECRET, **changes: str) -> object:
    answer = await shopper.shops(token, secret, **changes)
    return answer.status_code, answer.json()["code"], answer.json()["message"].partition(".")[0]


async def test_a_grant_shows_its_shops(shopper: Shopper) -> None:
    answer = await shopper.shops((await shopper.connect_shop("seller_0003"))["access_token"])
    body = answer.json()
    assert (answer.status_code, body["code"], body["message"]) == (200, 0, "Success")
    shops = body["data"]["shops"]
    assert {shop["seller_type"] for shop in shops} == {"CROSS_BORDER"}
    assert len({shop["cipher"] for shop in shops}) == len({shop["id"] for shop in shops}) == 3
    assert shops[0].keys() == {"id", "name", "region", "seller_type", "cipher", "code"}
    assert "CNRY" not in answer.text


async def test_most_sellers_have_one_local_shop(shopper: Shopper) -> None:
    body = (await shopper.shops((await shopper.connect_shop())["access_token"])).json()
    assert [shop["seller_type"] for shop in body["data"]["shops"]] == ["LOCAL"]


async def test_a_wrong_signature_is_refused(shopper: Shopper) -> None:
    token = (await shopper.connect_shop())["access_token"]
    assert await refused(shopper, token, "wrong") == (401, 106001, "Invalid credentials")
    params = {"app_key": APP_KEY, "timestamp": str(int(time.time()))}
    answer = await shopper.client.get(SHOPS, params=params, headers={"x-tts-access-token": token})
    assert (answer.status_code, answer.json()["code"]) == (400, 36009004)
    assert answer.json()["message"].startswith("Missing credentials.")


@pytest.mark.parametrize(("shift", "fits"), [(-295, True), (-305, False), (25, True), (35, False)])
async def test_timestamps_have_a_window(shopper: Shopper, shift: int, fits: bool) -> None:
    token = (await shopper.connect_shop())["access_token"]
    answer = await shopper.shops(token, timestamp=str(int(time.time()) + shift))
    assert (answer.status_code == 200) is fits
    assert fits or answer.json()["message"].startswith("Invalid timestamp.")


async def test_refusals_come_in_the_gateways_order(shopper: Shopper) -> None:
    worst = {"app_key": "x", "timestamp": "-1", "shop_cipher": "c"}
    told = []
    for fixed in ("", "app_key", "timestamp"):
        worst.pop(fixed, None)
        told.append(await refused(shopper, "no token", "wrong", **worst))
    told.append(await refused(shopper, "no token", **worst))
    told.append(await refused(shopper, (await shopper.connect_shop())["access_token"], **worst))
    assert told == [
        (400, 36009004, "Invalid credentials"),
        (400, 36009004, "Invalid timestamp"),
        (401, 106001, "Invalid credentials"),
        (400, 36009004, "Invalid credentials"),
        (400, 36009004, "Unexpected identifier"),
    ]


async def test_unknown_paths_and_methods_have_codes(shopper: Shopper) -> None:
    answer = await shopper.client.get("/order/202309/orders")
    assert (answer.status_code, answer.json()["code"]) == (404, 36009009)
    answer = await shopper.client.post(SHOPS)
    assert (answer.status_code, answer.json()["code"]) == (405, 36009010)


async def test_an_expired_shop_token_is_told_apart(shopper: Shopper) -> None:
    token = (await shopper.connect_shop())["access_token"]
    await shopper.advance(604_801)
    assert await refused(shopper, token) == (401, 105002, "Expired credentials")
    assert await refused(shopper, "ROW_made-up") == (400, 36009004, "Invalid credentials")


@pytest.mark.parametrize(("code", "status"), [("36009004", 400), ("105002", 401)])
async def test_a_deauthorized_seller_has_a_switch(shopper: Shopper, code: str, status: int) -> None:
    await shopper.switch(shop_deauthorized=code)
    data = await shopper.connect_shop()
    assert (await shopper.client.post("/sandbox/sellers/seller_0001/revoke")).json() == {"revoked": 1}
    answer = await shopper.shops(data["access_token"])
    assert (answer.status_code, answer.json()["code"]) == (status, int(code))
    assert (await shopper.shop_refresh(data["refresh_token"]))["code"] == 36004005


async def test_the_scope_is_needed(shopper: Shopper) -> None:
    await shopper.switch(shop_scopes=["data.shop_analytics.public.read"])
    assert await refused(shopper, (await shopper.connect_shop())["access_token"]) == (403, 105005, "Access denied")


async def test_a_creator_has_no_shops(shopper: Shopper) -> None:
    token = (await shopper.connect_shop("creator_0001"))["access_token"]
    assert (await shopper.shops(token)).json()["code"] == 101000


@pytest.mark.parametrize("header", ["present", "absent"])
async def test_the_gateway_has_a_limit(shopper: Shopper, header: str) -> None:
    await shopper.switch(shop_rate_limit=1, shop_rate_window_seconds=30, shop_retry_after=header)
    token = (await shopper.connect_shop())["access_token"]
    assert (await shopper.shops(token)).status_code == 200
    answer = await shopper.shops(token)
    assert (answer.status_code, answer.json()["code"]) == (429, 36009002)
    assert ("retry-after" in answer.headers) is (header == "present")
    assert (await shopper.ledger())["rate_limited"] == 1


async def test_sellers_are_the_same_in_every_run(shopper: Shopper) -> None:
    await shopper.client.post("/sandbox/sellers", json={"count": 12})
    rows = (await shopper.client.get("/sandbox/sellers?limit=12")).json()
    assert rows["total"] == 14
    assert rows["sellers"][11]["username"] == "seller_0012"
    found = (await shopper.client.get("/sandbox/sellers", params={"q": rows["sellers"][4]["open_id"]})).json()
    assert found["sellers"] == [rows["sellers"][4]]
