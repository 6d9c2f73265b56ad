import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from sandbox.notices import Notice
from sandbox.outbox import backoffs
from sandbox.webhook_signing import login_signature, shop_signature
from tests.sandbox.shopper import APP_KEY, APP_SECRET, Shopper
from tests.sandbox.visitor import KEY, SECRET, Json, Visitor

LOGIN_BODY = (
    b'{"client_key":"bwo2m45353a6k85","event":"authorization.removed","create_time":1615338610,'
    b'"user_openid":"act.example12345Example12345Example","content":"{\\"reason\\": 1 }"}'
)
LOGIN_VECTOR = "t=1633174587,s=39c29244091b6bb0d67eca735a97218805842b7c8cea52dde8296f6c0c36ae09"
SHOP_BODY = (
    b'{"type":1,"tts_notification_id":"7380066284010030890","shop_id":"7495540735365777507","timestamp":1718305585,'
    b'"data":{"is_on_hold_order":true,"order_id":"576653688135258178","order_status":"UNPAID",'
    b'"update_time":1718305585}}'
)
SHOP_VECTOR = "5dec0f11ec2f6783b8deee53c9ffbf8d024302f7c7e7fa55a35d17629031ac05"
GONE_BODY = (
    b'{"type":6,"tts_notification_id":"7327112393057371910","shop_id":"7494049642642441621","timestamp":1644412885,'
    b'"data":{"message":"Shop_id {xxx} is deauthorized from your APP by merchant."}}'
)
GONE_VECTOR = "22a6c3eeec43dc571759a2b81e89c4d5cb08a2468dfbd25ad600577cf0748f98"


@dataclass
class Receiver:
    """An app that takes webhooks, with the statuses it is told to answer, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.BaseRequest) -> web.Response:
        async with self.came:
            self.bodies.append(await request.read())
            self.headers.append(dict(request.headers))
            self.came.notify_all()
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def got(self, number: int) -> list[Json]:
        async with asyncio.timeout(10), self.came:
            await self.came.wait_for(lambda: len(self.bodies) >= number)
        return [json.loads(body) for body in self.bodies]


@pytest.fixture
async def receiver(visitor: Visitor) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.take))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await visitor.switch(webhook_url=receiver.url, shop_webhook_url=receiver.url)
    yield receiver
    await visitor.client.delete("/sandbox/webhooks")
    await runner.cleanup()


async def post(visitor: Visitor, *webhooks: Json) -> None:
    (await visitor.client.post("/sandbox/webhooks", json=list(webhooks))).raise_for_status()


async def settled(visitor: Visitor, number: int, state: str) -> Json:
    """Return the delivery of this number once it has this state."""
    async with asyncio.timeout(10):
        while True:
            rows = (await visitor.client.get("/sandbox/webhooks")).json()["deliveries"]
            found: list[Json] = [row for row in rows if row["number"] == number and row["state"] == state]
            if found:
                return found[0]
            await asyncio.sleep(0.01)


async def attempted(visitor: Visitor, times: int) -> None:
    async with asyncio.timeout(10):
        while True:
            rows = (await visitor.client.get("/sandbox/webhooks")).json()["deliveries"]
            if len(rows[0]["attempts"]) >= times:
                return
            await asyncio.sleep(0.01)


def test_published_webhook_signatures_come_out() -> None:
    assert login_signature("test_client_secret", 1633174587, LOGIN_BODY) == LOGIN_VECTOR
    assert shop_signature("abcdef", "123", SHOP_BODY) == SHOP_VECTOR
    assert shop_signature("abcdef", "123", GONE_BODY) == GONE_VECTOR


@pytest.mark.parametrize("reason", range(6))
async def test_a_removed_app_is_told_the_reason(visitor: Visitor, receiver: Receiver, reason: int) -> None:
    open_id = (await visitor.connect("store_0003"))["open_id"]
    await visitor.client.post("/sandbox/accounts/store_0003/revoke", json={"reason": reason})
    (body,) = await receiver.got(1)
    assert (body["event"], body["client_key"], body["user_openid"]) == ("authorization.removed", KEY, open_id)
    assert json.loads(body["content"]) == {"reason": reason}
    assert abs(body["create_time"] - time.time()) < 10
    signed = receiver.headers[0]["TikTok-Signature"]
    at = int(signed.removeprefix("t=").partition(",")[0])
    assert signed == login_signature(SECRET, at, receiver.bodies[0])
    assert abs(at - time.time()) < 10


async def test_a_developers_revocation_is_told_too(visitor: Visitor, receiver: Receiver) -> None:
    await visitor.revoke((await visitor.connect())["access_token"])
    assert json.loads((await receiver.got(1))[0]["content"]) == {"reason": 5}


async def test_a_seller_is_told_of_for_every_shop(shopper: Shopper, receiver: Receiver) -> None:
    granted = await shopper.grant("seller_0003")
    await shopper.client.post("/sandbox/sellers/seller_0003/revoke")
    bodies = await receiver.got(3)
    assert {body["shop_id"] for body in bodies} == {shop["id"] for shop in granted["shops"]}
    assert {body["type"] for body in bodies} == {6}
    assert len({body["tts_notification_id"] for body in bodies}) == 3
    assert all(f"Shop_id {body['shop_id']} is deauthorized" in body["data"]["message"] for body in bodies)
    signatures = [headers["Authorization"] for headers in receiver.headers]
    assert signatures == [shop_signature(APP_KEY, APP_SECRET, body) for body in receiver.bodies]


async def test_a_creator_is_told_of_by_open_id(shopper: Shopper, receiver: Receiver) -> None:
    granted = await shopper.grant("creator_0001")
    await shopper.client.post("/sandbox/sellers/creator_0001/revoke")
    (body,) = await receiver.got(1)
    assert (body["type"], body["creator_open_id"]) == (20, granted["open_id"])
    assert "shop_id" not in body
    assert body["data"]["cancel_time"].isdigit()


async def test_an_expiry_comes_as_a_string(visitor: Visitor, receiver: Receiver) -> None:
    await post(visitor, {"provider": "shop", "open_id": "seller_0001", "type": 7, "expires_in_seconds": 864_000})
    (body,) = await receiver.got(1)
    assert isinstance(body["data"]["expiration_time"], str)
    assert int(body["data"]["expiration_time"]) == body["timestamp"] + 864_000
    assert "expiring in 10 days" in body["data"]["message"]


async def test_nobody_is_told_without_grants_or_wish(visitor: Visitor, receiver: Receiver) -> None:
    await visitor.client.post("/sandbox/accounts/store_0001/revoke")
    await visitor.connect("store_0002")
    await visitor.client.post("/sandbox/accounts/store_0002/revoke", json={"webhook": False})
    assert (await visitor.client.get("/sandbox/webhooks")).json() == {"deliveries": []}
    assert receiver.bodies == []


async def test_copies_are_the_same_to_the_letter(visitor: Visitor, receiver: Receiver) -> None:
    await post(visitor, {"provider": "shop", "open_id": "seller_0001", "copies": 3})
    await receiver.got(3)
    assert len(set(receiver.bodies)) == 1


async def test_a_delay_lets_the_later_overtake(visitor: Visitor, receiver: Receiver) -> None:
    first = {"provider": "login", "open_id": "store_0001", "reason": 1, "delay_seconds": 60}
    await post(visitor, first, {**first, "reason": 2, "delay_seconds": 0})
    await receiver.got(1)
    await visitor.advance(61)
    contents = [json.loads(body["content"])["reason"] for body in await receiver.got(2)]
    assert contents == [2, 1]


async def test_signatures_and_times_may_be_wrong(visitor: Visitor, receiver: Receiver) -> None:
    usual = {"provider": "login", "open_id": "store_0001"}
    await post(visitor, {**usual, "signature": "wrong"}, {**usual, "signature": "absent"})
    await receiver.got(2)
    await post(visitor, {**usual, "age_seconds": 900, "signed_age_seconds": 400})
    old = (await receiver.got(3))[2]
    signed, times = [headers.get("TikTok-Signature", "") for headers in receiver.headers], time.time()
    at = [int(text.removeprefix("t=").partition(",")[0] or 0) for text in signed]
    assert signed[0] != login_signature(SECRET, at[0], receiver.bodies[0])
    assert signed[1] == ""
    assert signed[2] == login_signature(SECRET, at[2], receiver.bodies[2])
    assert (abs(times - 400 - at[2]) < 10, abs(times - 900 - old["create_time"]) < 10) == (True, True)


async def test_a_raw_text_is_signed_as_it_is(visitor: Visitor, receiver: Receiver) -> None:
    await post(visitor, {"provider": "shop", "open_id": "seller_0001", "raw": "not JSON"})
    await settled(visitor, 1, "delivered")
    assert receiver.bodies == [b"not JSON"]
    assert receiver.headers[0]["Authorization"] == shop_signature(APP_KEY, APP_SECRET, b"not JSON")


async def test_a_refused_webhook_is_tried_again(visitor: Visitor, receiver: Receiver) -> None:
    receiver.statuses = [500, 302, 204]
    await post(visitor, {"provider": "shop", "open_id": "seller_0001"})
    for times, wait in enumerate((121, 1_801, 10_801), 1):
        await attempted(visitor, times)
        await visitor.advance(wait)
    row = await settled(visitor, 1, "delivered")
    assert [attempt["status"] for attempt in row["attempts"]] == [500, 302, 204, 200]
    assert len(set(receiver.bodies)) == 1


async def test_the_shop_gives_up_after_four_retries(visitor: Visitor, receiver: Receiver) -> None:
    receiver.statuses = [500] * 9
    await post(visitor, {"provider": "shop", "open_id": "seller_0001"})
    for times in range(1, 5):
        await attempted(visitor, times)
        await visitor.advance(43_201)
    assert len((await settled(visitor, 1, "given_up"))["attempts"]) == 5


def test_login_kit_tries_for_three_days() -> None:
    waits = list(backoffs(Notice("login", "x", "y", b"")))
    assert waits[:3] == [60, 120, 240]
    assert sum(waits) <= 259_200 < sum(waits) + waits[-1] * 2


async def test_a_closed_door_is_written_down(visitor: Visitor) -> None:
    await visitor.switch(webhook_url="http://127.0.0.1:9/closed")
    await post(visitor, {"provider": "login", "open_id": "store_0001", "retry": False})
    row = await settled(visitor, 1, "given_up")
    assert row["attempts"][0]["error"] == "ClientConnectorError"


@pytest.mark.parametrize(
    "webhook",
    [
        {},
        {"provider": "login"},
        {"provider": "login", "open_id": "store_0001", "reason": 6},
        {"provider": "login", "open_id": "store_0001", "type": 6},
        {"provider": "shop", "open_id": "seller_0001", "copies": 0},
    ],
)
async def test_a_senseless_webhook_is_refused(visitor: Visitor, webhook: Json) -> None:
    answer = await visitor.client.post("/sandbox/webhooks", json=webhook)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID")


async def test_a_webhook_needs_somewhere_to_go(visitor: Visitor) -> None:
    webhook = {"provider": "login", "open_id": "store_0001"}
    assert (await visitor.client.post("/sandbox/webhooks", json=webhook)).status_code == 409


@pytest.mark.parametrize("url", ["https://127.0.0.1/x", "http://127.evil.example/", "http://10.0.0.1/", "nowhere"])
async def test_webhooks_stay_on_this_machine(visitor: Visitor, url: str) -> None:
    answer = await visitor.client.patch("/sandbox/settings", json={"webhook_url": url})
    assert (answer.status_code, "webhook_url" in answer.json()["error"]["message"]) == (400, True)
