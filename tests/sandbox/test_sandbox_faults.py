import asyncio

import httpx
import pytest

from tests.sandbox.visitor import Visitor


@pytest.mark.parametrize(("kind", "status"), [("429", 429), ("500", 500), ("503", 503), ("html", 502)])
async def test_a_failing_token_host_rotates_nothing(visitor: Visitor, kind: str, status: int) -> None:
    tokens = await visitor.connect()
    await visitor.fault(kind, endpoint="token")
    answer = await visitor.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert answer.status_code == status
    assert "access_token" in await visitor.refresh(tokens["refresh_token"])


@pytest.mark.parametrize(
    ("kind", "code"), [("429", "rate_limit_exceeded"), ("500", "internal_error"), ("503", "internal_error")]
)
async def test_a_failing_display_api_keeps_its_envelope(visitor: Visitor, kind: str, code: str) -> None:
    tokens = await visitor.connect()
    await visitor.fault(kind, endpoint="video")
    answer = await visitor.videos(tokens["access_token"], {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (int(kind), code)
    assert (await visitor.videos(tokens["access_token"], {})).status_code == 200


async def test_a_fault_meets_its_account_only(visitor: Visitor) -> None:
    one, two = await visitor.connect("store_0001"), await visitor.connect("store_0002")
    await visitor.fault("500", endpoint="user", open_id=two["open_id"], count=2)
    assert (await visitor.user(one["access_token"])).status_code == 200
    assert [(await visitor.user(two["access_token"])).status_code for _ in range(3)] == [500, 500, 200]


async def test_a_username_names_the_account_too(visitor: Visitor) -> None:
    one, two = await visitor.connect("store_0001"), await visitor.connect("store_0002")
    await visitor.fault("500", endpoint="user", open_id="store_0002")
    assert (await visitor.user(one["access_token"])).status_code == 200
    assert (await visitor.user(two["access_token"])).status_code == 500


async def test_a_fault_can_wait_its_turn(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    await visitor.fault("500", endpoint="user", skip=1)
    assert [(await visitor.user(tokens["access_token"])).status_code for _ in range(3)] == [200, 500, 200]


async def test_faults_come_in_the_order_given(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    await visitor.client.post("/sandbox/faults", json=[{"kind": "503"}, {"kind": "429"}])
    assert [(await visitor.user(tokens["access_token"])).status_code for _ in range(3)] == [503, 429, 200]


async def test_a_scripted_oauth_error_has_its_word(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    await visitor.fault("oauth_error", endpoint="token", error="invalid_client")
    assert (await visitor.refresh(tokens["refresh_token"]))["error"] == "invalid_client"
    assert "access_token" in await visitor.refresh(tokens["refresh_token"])


async def test_a_good_access_token_can_be_refused(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    await visitor.fault("access_token_invalid", endpoint="user")
    assert (await visitor.user(tokens["access_token"])).json()["error"]["code"] == "access_token_invalid"


async def test_a_lost_answer_has_rotated(served: Visitor) -> None:
    tokens = await served.connect()
    await served.fault("answer_lost", endpoint="token")
    with pytest.raises(httpx.RemoteProtocolError):
        await served.refresh(tokens["refresh_token"])
    assert (await served.refresh(tokens["refresh_token"]))["error"] == "invalid_grant"
    assert (await served.ledger("/accounts/store_0001"))["counters"]["called.token.fault_answer_lost"] == 1


async def test_a_truncated_answer_has_rotated(served: Visitor) -> None:
    tokens = await served.connect()
    await served.fault("truncated", endpoint="token")
    with pytest.raises(httpx.RemoteProtocolError, match=r"received [1-9]"):
        await served.refresh(tokens["refresh_token"])
    assert (await served.refresh(tokens["refresh_token"]))["error"] == "invalid_grant"


async def test_a_slow_answer_rotates_before_it_is_sent(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    await visitor.fault("slow", endpoint="token", seconds=0.3)
    slow = asyncio.create_task(visitor.refresh(tokens["refresh_token"]))
    await asyncio.sleep(0.1)
    assert not slow.done()
    assert (await visitor.ledger())["refreshes"] == 1
    assert "access_token" in await visitor.refresh((await slow)["refresh_token"])


async def test_latency_holds_the_answer_back(visitor: Visitor) -> None:
    tokens = await visitor.connect()
    await visitor.switch(latency_user_ms=300, latency_jitter=0)
    call = asyncio.create_task(visitor.user(tokens["access_token"]))
    await asyncio.sleep(0.1)
    assert not call.done()
    assert (await call).status_code == 200


async def test_faults_can_be_seen_and_withdrawn(visitor: Visitor) -> None:
    await visitor.fault("500", count=None)
    await visitor.fault("html")
    pending = (await visitor.client.get("/sandbox/faults")).json()["faults"]
    assert [fault["kind"] for fault in pending] == ["500", "html"]
    assert (await visitor.client.delete(f"/sandbox/faults/{pending[0]['number']}")).status_code == 204
    for gone in (pending[0]["number"], "²"):
        assert (await visitor.client.delete(f"/sandbox/faults/{gone}")).status_code == 404
    await visitor.client.delete("/sandbox/faults")
    assert (await visitor.client.get("/sandbox/faults")).json() == {"faults": []}


@pytest.mark.parametrize("fault", [{}, {"kind": "flood"}, {"kind": "500", "count": 0}, {"kind": "500", "typo": 1}, 7])
async def test_a_fault_that_makes_no_sense_is_refused(visitor: Visitor, fault: object) -> None:
    answer = await visitor.client.post("/sandbox/faults", json=fault)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID")
