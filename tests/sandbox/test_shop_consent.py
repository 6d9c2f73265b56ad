import pytest

from tests.sandbox.shopper import Shopper
from tests.sandbox.visitor import query

CALLBACK = "http://127.0.0.1:3000/api/v1/tiktok/auth/callback"


async def test_a_plain_client_consents_for_a_seller(shopper: Shopper) -> None:
    answer = await shopper.decide_seller()
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{CALLBACK}?code=")
    assert query(answer).keys() == {"code", "state"}
    assert query(answer)["state"] == "st-9"
    assert "CNRY" in query(answer)["code"]


async def test_the_address_to_go_back_to_is_a_setting(shopper: Shopper) -> None:
    await shopper.switch(shop_redirect_uri="http://127.0.0.1:4/back?app=1")
    answer = await shopper.decide_seller()
    assert answer.headers["location"].startswith("http://127.0.0.1:4/back?app=1&code=")


async def test_extras_may_come_with_the_code(shopper: Shopper) -> None:
    await shopper.switch(shop_callback="extras")
    assert query(await shopper.decide_seller()).keys() == {"code", "state", "app_key", "locale", "shop_region"}


async def test_an_app_store_install_brings_no_state(shopper: Shopper) -> None:
    await shopper.switch(shop_callback="app_store")
    assert query(await shopper.decide_seller()).keys() == {"code"}


async def test_a_missing_state_is_not_made_up(shopper: Shopper) -> None:
    ticket = (await shopper.ask_seller(state=" ")).json()["ticket"]
    assert query(await shopper.decide_seller(ticket=ticket)).keys() == {"code"}


async def test_cancel_ends_on_a_page_unless_switched(shopper: Shopper) -> None:
    answer = await shopper.decide_seller(decision="cancel")
    assert (answer.status_code, "location" in answer.headers) == (200, False)
    await shopper.switch(shop_cancel="redirect")
    answer = await shopper.decide_seller(decision="cancel")
    assert query(answer) == {"error": "access_denied", "state": "st-9"}


async def test_the_list_shows_sellers_then_creators(shopper: Shopper) -> None:
    asked = (await shopper.ask_seller()).json()
    names = [row["username"] for row in asked["accounts"]]
    assert names == [*(f"seller_{k:04d}" for k in range(1, 9)), "creator_0001", "creator_0002"]
    assert [len(row["shops"]) for row in asked["accounts"]] == [1, 1, 3, 1, 1, 3, 1, 1, 0, 0]
    found = (await shopper.ask_seller(q="seller_0007", limit="1")).json()
    assert [row["username"] for row in found["accounts"]] == ["seller_0007"]


async def test_an_unknown_service_is_refused(shopper: Shopper) -> None:
    assert (await shopper.ask_seller(service_id="1")).status_code == 400
    assert "log in with TikTok" in (await shopper.ask_seller("text/html", service_id="1")).text


@pytest.mark.parametrize("changes", [{"account": "store_0001"}, {"decision": "maybe"}, {"ticket": "made.up"}])
async def test_a_senseless_seller_decision_is_refused(shopper: Shopper, changes: dict[str, str]) -> None:
    answer = await shopper.decide_seller(**changes)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_tickets_of_one_page_fit_no_other(shopper: Shopper) -> None:
    shop = (await shopper.ask_seller()).json()["ticket"]
    login = (await shopper.ask()).json()["ticket"]
    assert (await shopper.decide(shop)).status_code == 400
    assert (await shopper.decide_seller(ticket=login)).status_code == 400


async def test_a_seller_page_grows_old(shopper: Shopper) -> None:
    ticket = (await shopper.ask_seller()).json()["ticket"]
    await shopper.advance(601)
    assert (await shopper.decide_seller(ticket=ticket)).status_code == 400
