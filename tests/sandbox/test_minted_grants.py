import json
import time

import pytest

from tests.sandbox.shopper import Shopper


async def test_a_grant_needs_no_page(shopper: Shopper) -> None:
    minted = await shopper.grant("seller_0003")
    shops = (await shopper.shops(minted["access_token"])).json()["data"]["shops"]
    assert [shop["cipher"] for shop in minted["shops"]] == [shop["cipher"] for shop in shops]
    assert abs(minted["access_expires_at"] - time.time() - 604_800) < 30
    refreshed = (await shopper.shop_refresh(minted["refresh_token"]))["data"]
    assert abs(minted["refresh_expires_at"] - refreshed["refresh_token_expire_in"]) <= 1
    login = await shopper.grant("store_0002", scopes=["user.info.basic"])
    assert (await shopper.refresh(login["refresh_token"]))["scope"] == "user.info.basic"


async def test_a_minted_grant_may_be_nearly_over(shopper: Shopper) -> None:
    minted = await shopper.grant("seller_0001", access_seconds=60, refresh_seconds=120)
    assert minted["refresh_expires_at"] - minted["access_expires_at"] == 60
    await shopper.advance(61)
    assert (await shopper.shops(minted["access_token"])).json()["code"] == 105002
    await shopper.advance(60)
    assert (await shopper.shop_refresh(minted["refresh_token"]))["code"] == 36004005


@pytest.mark.parametrize("provider", ["shop", "login"])
async def test_grants_come_in_bulk(shopper: Shopper, provider: str) -> None:
    body = {"provider": provider, "count": 600, "first": 3}
    lines = (await shopper.client.post("/sandbox/grants", json=body)).text.splitlines()
    rows = [json.loads(line) for line in lines]
    kind = "seller" if provider == "shop" else "store"
    assert [row["username"] for row in rows] == [f"{kind}_{k:04d}" for k in range(3, 603)]
    assert len({row["refresh_token"] for row in rows}) == 600
    last = rows[-1]["refresh_token"]
    if provider == "shop":
        assert (await shopper.shop_refresh(last))["code"] == 0
    else:
        assert "access_token" in await shopper.refresh(last)


@pytest.mark.parametrize(
    "body", [{}, {"provider": "shop", "count": 0}, {"provider": "shop", "count": 2, "first": 10**5}]
)
async def test_a_senseless_bulk_is_refused(shopper: Shopper, body: object) -> None:
    answer = await shopper.client.post("/sandbox/grants", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID")


@pytest.mark.parametrize("scopes", [["user.info.basics"], ["video.list", "seller.authorization.info"], []])
async def test_scopes_that_no_page_would_grant_are_refused(shopper: Shopper, scopes: list[str]) -> None:
    answers = [
        await shopper.client.post("/sandbox/accounts/store_0001/grant", json={"scopes": scopes}),
        await shopper.client.post("/sandbox/sellers/seller_0001/grant", json={"scopes": scopes}),
        await shopper.client.post("/sandbox/grants", json={"provider": "login", "count": 1, "scopes": scopes}),
        await shopper.client.post("/sandbox/grants", json={"provider": "shop", "count": 1, "scopes": scopes}),
    ]
    assert [answer.status_code for answer in answers] == [400] * 4
    assert "user.info.basic, " in answers[0].json()["error"]["message"]
    assert "seller.authorization.info" in answers[1].json()["error"]["message"]


async def test_a_seller_grants_what_the_app_may_have(shopper: Shopper) -> None:
    await shopper.switch(shop_scopes=["seller.order.info", "seller.authorization.info"])
    assert (await shopper.grant("seller_0001", scopes=["seller.order.info"]))["scopes"] == ["seller.order.info"]


async def test_a_grant_of_nobody_is_not_found(shopper: Shopper) -> None:
    assert (await shopper.client.post("/sandbox/sellers/nobody/grant")).status_code == 404
