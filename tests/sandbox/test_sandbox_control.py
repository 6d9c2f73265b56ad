import asyncio
import json

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.visitor import SECRET, Visitor


async def test_the_index_lists_every_route(visitor: Visitor, app: Starlette) -> None:
    listed = {route["path"] for route in (await visitor.client.get("/sandbox/")).json()["routes"]}
    assert listed == {path for route in app.routes if (path := getattr(route, "path", "")).startswith("/sandbox/")}


async def test_health_says_healthy(visitor: Visitor) -> None:
    assert (await visitor.client.get("/sandbox/health")).json() == {"status": "healthy", "accounts": 40}


async def test_accounts_grow_and_never_shrink(visitor: Visitor) -> None:
    assert (await visitor.client.post("/sandbox/accounts", json={"count": 45})).json() == {"total": 45, "created": 5}
    assert (await visitor.client.post("/sandbox/accounts", json={"count": 10})).json() == {"total": 45, "created": 0}
    page = (await visitor.client.get("/sandbox/accounts?offset=44")).json()
    assert [account["username"] for account in page["accounts"]] == ["store_0045"]


async def test_settings_change_all_or_nothing(visitor: Visitor) -> None:
    answer = await visitor.client.patch("/sandbox/settings", json={"rate_limit": 5, "refresh_rotation": "never"})
    assert answer.status_code == 400
    assert "refresh_rotation" in answer.json()["error"]["message"]
    shown = await visitor.client.get("/sandbox/settings")
    assert shown.json()["switches"]["rate_limit"] == 600
    assert SECRET not in shown.text


async def test_an_unknown_switch_is_refused(visitor: Visitor) -> None:
    assert (await visitor.client.patch("/sandbox/settings", json={"rate_limits": 5})).status_code == 400
    assert (await visitor.client.patch("/sandbox/settings", json=[])).status_code == 400


async def test_redirect_uris_can_be_registered(visitor: Visitor) -> None:
    await visitor.switch(redirect_uris=["http://127.0.0.1:4/cb"])
    assert (await visitor.ask(redirect_uri="http://127.0.0.1:4/cb")).status_code == 200
    assert (await visitor.ask()).status_code == 400


async def test_the_clock_moves_forward(visitor: Visitor) -> None:
    before = (await visitor.client.get("/sandbox/clock")).json()
    after = (await visitor.client.post("/sandbox/clock", json={"advance_seconds": 86400})).json()
    assert 86400 <= after["unix"] - before["unix"] < 86430
    assert after["day"] > before["day"]
    assert (await visitor.client.post("/sandbox/clock", json={"advance_seconds": -1})).status_code == 400


async def test_time_can_run_faster(visitor: Visitor) -> None:
    await visitor.client.post("/sandbox/clock", json={"scale": 36000, "frozen": True})
    tokens = await visitor.connect()
    assert tokens["refresh_expires_in"] == 432
    await visitor.client.post("/sandbox/clock", json={"frozen": False})
    first = (await visitor.client.get("/sandbox/clock")).json()["unix"]
    assert (await visitor.client.get("/sandbox/clock")).json()["unix"] > first + 1


async def test_time_can_stand_still(visitor: Visitor) -> None:
    frozen = (await visitor.client.post("/sandbox/clock", json={"frozen": True, "scale": 360_000})).json()
    tokens = await visitor.connect()
    await asyncio.sleep(0.05)
    assert (await visitor.client.get("/sandbox/clock")).json() == frozen
    assert (await visitor.user(tokens["access_token"])).status_code == 200
    await visitor.advance(7_201)
    assert (await visitor.user(tokens["access_token"])).status_code == 401
    moved = (await visitor.client.get("/sandbox/clock")).json()["unix"]
    assert moved == pytest.approx(frozen["unix"] + 7_201)
    await visitor.client.post("/sandbox/clock", json={"frozen": False})
    assert (await visitor.client.get("/sandbox/clock")).json()["unix"] > moved


async def test_no_secret_is_among_the_settings(visitor: Visitor) -> None:
    shown = (await visitor.client.get("/sandbox/settings")).text
    assert "CNRY" not in shown
    assert 'secret"' not in shown


async def test_truth_follows_the_day(visitor: Visitor) -> None:
    today = (await visitor.client.get("/sandbox/truth/store_0001")).json()
    await visitor.advance(86400)
    tomorrow = (await visitor.client.get("/sandbox/truth/store_0001")).json()
    assert tomorrow["user"]["follower_count"] > today["user"]["follower_count"]
    assert (await visitor.client.get(f"/sandbox/truth/store_0001?day={today['day']}")).json() == today
    assert (await visitor.client.get("/sandbox/truth/store_0001?day=soon")).status_code == 400


async def test_all_truth_is_one_line_an_account(visitor: Visitor) -> None:
    lines = [json.loads(line) for line in (await visitor.client.get("/sandbox/truth")).text.splitlines()]
    assert [line["user"]["username"] for line in lines] == [f"store_{k:04d}" for k in range(1, 41)]
    assert lines[4] == (await visitor.client.get("/sandbox/truth/store_0005")).json()


async def test_an_unknown_account_is_not_found(visitor: Visitor) -> None:
    for path in ("/sandbox/truth/nobody", "/sandbox/ledger/accounts/nobody"):
        assert (await visitor.client.get(path)).status_code == 404


@pytest.mark.parametrize(("peer", "status"), [("10.0.0.9", 403), ("::1", 200), ("127.8.8.8", 200), ("pipe", 403)])
async def test_only_this_machine_may_steer(app: Starlette, peer: str, status: int) -> None:
    transport = httpx.ASGITransport(app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://tt") as client:
        assert (await client.get("/sandbox/ledger")).status_code == status
        assert (await client.get("/v2/user/info/")).status_code == 401
