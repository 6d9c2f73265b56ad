import json
from typing import Any

import pytest

from sandbox.web.answers import DISPLAY_ERRORS
from tests.sandbox.shopper import Shopper
from tests.sandbox.visitor import Json, Visitor

STORE = "store_0012"


async def poster(visitor: Visitor, at_least: int = 45) -> Json:
    """Connect an account with so many videos, for pages to go wrong."""
    for number in range(1, 41):
        truth = (await visitor.client.get(f"/sandbox/truth/store_{number:04d}")).json()
        if len(truth["videos"]) >= at_least:
            return await visitor.connect(f"store_{number:04d}")
    raise AssertionError("nobody posts that much")


async def walk(visitor: Visitor, token: str, pages: int, fields: str = "id,create_time") -> list[Json]:
    seen: list[Json] = []
    body: Json = {"max_count": 20}
    for _ in range(pages):
        seen.append((await visitor.videos(token, body, fields)).json()["data"])
        body["cursor"] = seen[-1]["cursor"]
    return seen


@pytest.mark.parametrize("value", ["7", 0, -1, 1e9, "Wed, 21 Oct 2099 07:28:00 GMT", "garbage", ""])
async def test_retry_after_may_be_anything(visitor: Visitor, value: str | float) -> None:
    await visitor.fault("status", status=429, retry_after=value)
    answer = await visitor.user("x")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, str(value))
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert (await visitor.ledger())["rate_limited"] == 1


async def test_failures_take_turns(visitor: Visitor) -> None:
    await visitor.fault("alternating", statuses=[500, 503, 418], count=5)
    assert [(await visitor.user("x")).status_code for _ in range(6)] == [500, 503, 418, 500, 503, 401]


async def test_a_page_may_come_with_200(visitor: Visitor) -> None:
    await visitor.fault("html", status=200, content_type="application/json")
    answer = await visitor.user("x")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("code", [*DISPLAY_ERRORS, "something_new"])
async def test_display_errors_come_with_200_or_their_own(visitor: Visitor, code: str) -> None:
    steps = [{"kind": "error", "code": code, "endpoint": "user", "status": status} for status in (200, "native")]
    await visitor.client.post("/sandbox/faults", json=steps)
    answers = [await visitor.user("x") for _ in steps]
    assert [answer.json()["error"]["code"] for answer in answers] == [code, code]
    assert [answer.status_code for answer in answers] == [200, DISPLAY_ERRORS.get(code, (400, ""))[0]]


async def test_errors_have_the_form_of_their_endpoint(shopper: Shopper) -> None:
    await shopper.fault("error", code="temporarily_unavailable", endpoint="token", status=503)
    answer = await shopper.token()
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    await shopper.fault("error", code=36009033, endpoint="shop_token")
    answer = await shopper.shop_refresh_answer("x")
    assert (answer.status_code, answer.json()["code"]) == (200, 36009033)
    assert "IP allow list" in answer.json()["message"]
    await shopper.fault("error", code=36009002, endpoint="shops", status="native")
    answer = await shopper.shops("x")
    assert (answer.status_code, answer.json()["code"]) == (429, 36009002)


@pytest.mark.parametrize(("status", "code"), [(429, 36009002), (503, 36009003)])
async def test_a_failing_shop_host_has_its_own_form(shopper: Shopper, status: int, code: int) -> None:
    data = await shopper.connect_shop("seller_0002")
    await shopper.fault("status", status=status, endpoint="shop_token", open_id="seller_0002")
    answer = await shopper.shop_refresh_answer(data["refresh_token"])
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await shopper.shop_refresh(data["refresh_token"]))["code"] == 0


async def test_a_redirect_leads_elsewhere(visitor: Visitor) -> None:
    await visitor.fault("redirect", to="http://127.0.0.1:9/x", status=307)
    answer = await visitor.user("x")
    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:9/x")


@pytest.mark.parametrize("value", ["123", None, 1e308, 2**63, -1, True, [1], {"a": 1}, float("nan"), "\ud800"])
async def test_a_field_may_have_any_value(visitor: Visitor, value: Any) -> None:
    tokens = await poster(visitor)
    fault = {"kind": "field", "endpoint": "video", "set": {"/data/videos/*/create_time": value}}
    await visitor.client.post("/sandbox/faults", content=json.dumps(fault))
    answer = json.loads((await visitor.videos(tokens["access_token"], {"max_count": 2})).text)
    assert repr([video["create_time"] for video in answer["data"]["videos"]]) == repr([value, value])


async def test_fields_may_be_missing(visitor: Visitor) -> None:
    tokens = await visitor.connect(STORE)
    await visitor.fault("field", endpoint="token", remove=["/refresh_token", "/not/there"], set={"/expires_in": "1"})
    refreshed = await visitor.refresh(tokens["refresh_token"])
    assert "refresh_token" not in refreshed
    assert refreshed["expires_in"] == "1"
    live = (await visitor.ledger(f"/accounts/{STORE}"))["grants"][0]["live_refresh_token"]
    assert live != tokens["refresh_token"]


async def test_a_bent_page_leaves_the_truth_alone(visitor: Visitor) -> None:
    tokens = await poster(visitor)
    straight = (await visitor.videos(tokens["access_token"], {})).json()["data"]
    await visitor.fault("field", set={"/data/videos/0/id": "other"})
    assert (await visitor.videos(tokens["access_token"], {})).json()["data"]["videos"][0]["id"] == "other"
    assert (await visitor.videos(tokens["access_token"], {})).json()["data"] == straight


async def test_a_bent_answer_leaves_the_grant_alone(shopper: Shopper) -> None:
    data = await shopper.connect_shop()
    await shopper.fault("field", endpoint="shop_token", set={"/data/granted_scopes/0": "other"})
    bent = (await shopper.shop_refresh(data["refresh_token"]))["data"]
    again = (await shopper.shop_refresh(bent["refresh_token"]))["data"]
    assert (bent["granted_scopes"][0], again["granted_scopes"]) == ("other", data["granted_scopes"])


async def test_a_loop_shows_the_same_page(visitor: Visitor) -> None:
    tokens = await poster(visitor)
    await visitor.fault("paging", mode="loop", count=None)
    first, second, third = await walk(visitor, tokens["access_token"], 3)
    assert first == second == third
    assert first["has_more"] is True


async def test_more_may_be_promised_for_ever(visitor: Visitor) -> None:
    tokens = await poster(visitor)
    await visitor.fault("paging", mode="forever", count=None)
    pages = await walk(visitor, tokens["access_token"], 9)
    assert {page["has_more"] for page in pages} == {True}
    assert pages[-1]["videos"] == []


async def test_a_cursor_may_go_back(visitor: Visitor) -> None:
    tokens = await poster(visitor)
    await visitor.fault("paging", mode="back", skip=1)
    pages = await walk(visitor, tokens["access_token"], 3)
    assert pages[1]["cursor"] > pages[0]["cursor"]
    assert pages[2]["videos"][0]["create_time"] > pages[1]["videos"][-1]["create_time"]


async def test_an_empty_page_loses_nothing(visitor: Visitor) -> None:
    tokens = await poster(visitor)
    straight, pages = await visitor.all_videos(tokens["access_token"], "id")
    await visitor.fault("paging", mode="empty", skip=1)
    rows, more = await visitor.all_videos(tokens["access_token"], "id")
    assert (rows, more) == (straight, pages + 1)


@pytest.mark.parametrize("across", [False, True])
async def test_videos_may_come_twice(visitor: Visitor, across: bool) -> None:
    tokens = await poster(visitor)
    straight, _ = await visitor.all_videos(tokens["access_token"], "id")
    await visitor.fault("duplicate_videos", share=0.25, across=across, count=2)
    rows, _ = await visitor.all_videos(tokens["access_token"], "id")
    assert len(rows) == len(straight) + 10
    assert {row["id"] for row in rows} == {row["id"] for row in straight}


async def test_paging_faults_pass_other_calls(visitor: Visitor) -> None:
    tokens = await poster(visitor)
    await visitor.fault("paging", mode="loop")
    await visitor.user(tokens["access_token"])
    await visitor.query_videos(tokens["access_token"], ["1"])
    assert len((await visitor.client.get("/sandbox/faults")).json()["faults"]) == 1


async def test_latency_can_be_waived(visitor: Visitor) -> None:
    await visitor.switch(latency_user_ms=600_000)
    await visitor.fault("latency", seconds=0)
    assert (await visitor.user("x")).status_code == 401


async def test_large_bodies_have_their_size(visitor: Visitor) -> None:
    await visitor.fault("huge", bytes=3_000_000)
    huge = await visitor.user("x")
    assert (len(huge.content), huge.json().keys()) == (3_000_000, {"data"})
    await visitor.fault("gzip_bomb", bytes=3_000_000)
    bomb = await visitor.user("x")
    assert (len(bomb.content), bomb.headers["content-encoding"]) == (3_000_000, "gzip")
