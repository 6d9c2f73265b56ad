"""What sellers and creators do at TikTok Shop reaches their connection."""

import asyncio
import time
from itertools import count

import pytest
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField, ReauthRequired, Unauthenticated
from tests.fixtures_sandbox import SandboxProcess
from tests.token.event_sender import APPLIED, IGNORED, REPEATED, SHOP, send, shop_event, shop_header
from tests.token.shop_client import STORE, Shops, by_id, serving_shops

DISCONNECTED = token_pb2.CONNECTION_STATUS_DISCONNECTED
ACTIVE = token_pb2.CONNECTION_STATUS_ACTIVE


async def tell(shops: Shops, body: bytes, signature: str | None = None) -> token_pb2.EventOutcome.ValueType:
    return await send(shops.connections, body, signature, SHOP)


async def newest_event(shops: Shops, connection: token_pb2.Connection) -> token_pb2.ConnectionEvent:
    request = token_pb2.ExplainConnectionRequest(connection=by_id(connection))
    return (await shops.connections.ExplainConnection(request)).timeline[0]


async def test_the_only_shop_takes_its_connection_along(shops: Shops) -> None:
    before = await shops.connect("user-1", shops.sandbox.next_seller())

    assert await tell(shops, shop_event(6, number="1", shop_id=before.shops[0].id)) == APPLIED

    after = await shops.look(before)
    assert (after.status, after.reason, after.epoch) == (DISCONNECTED, "removed_by_user", before.epoch + 1)
    with pytest.raises(ReauthRequired):
        await shops.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=by_id(before)))


async def test_one_of_several_shops_leaves_the_others(shops: Shops) -> None:
    before = await shops.connect("shop-1", shops.sandbox.next_seller(shops=3), kind=STORE)
    gone, *rest = before.shops

    assert await tell(shops, shop_event(6, number="1", shop_id=gone.id)) == APPLIED

    after = await shops.look(before)
    assert (after.status, after.epoch, list(after.shops)) == (ACTIVE, before.epoch, rest)
    event = await newest_event(shops, before)
    assert (event.kind, event.reason) == (token_pb2.CONNECTION_EVENT_KIND_SHOP_REMOVED, gone.id)


async def test_all_shops_leaving_at_once_disconnect_once(shops: Shops) -> None:
    before = await shops.connect("shop-1", shops.sandbox.next_seller(shops=3), kind=STORE)
    bodies = [shop_event(6, number=shop.id, shop_id=shop.id) for shop in before.shops]

    assert set(await asyncio.gather(*(tell(shops, body) for body in bodies))) == {APPLIED}

    after = await shops.look(before)
    assert (after.status, after.epoch) == (DISCONNECTED, before.epoch + 1)


async def test_a_number_seen_before_is_a_replay(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    shop = (await shops.connect("user-1", seller)).shops[0]
    body = shop_event(6, number="7", shop_id=shop.id)
    assert await tell(shops, body) == APPLIED
    again = await shops.connect("user-1", seller)

    assert await tell(shops, body) == REPEATED
    assert (await shops.look(again)).status == ACTIVE


async def test_a_webhook_older_than_the_connection_changes_nothing(shops: Shops) -> None:
    before = await shops.connect("user-1", shops.sandbox.next_seller())

    assert await tell(shops, shop_event(6, number="1", age=60, shop_id=before.shops[0].id)) == IGNORED
    assert (await shops.look(before)).status == ACTIVE


async def test_an_announced_expiry_corrects_the_known_one(shops: Shops) -> None:
    before = await shops.connect("user-1", shops.sandbox.next_seller())
    ends_at = int(time.time()) + 10 * 86_400
    data = {"message": "…", "expiration_time": str(ends_at)}

    assert await tell(shops, shop_event(7, number="1", shop_id=before.shops[0].id, data=data)) == APPLIED

    after = await shops.look(before)
    assert (after.status, after.reason, after.refresh_expire_time.seconds) == (ACTIVE, "expiring", ends_at)
    explained = await shops.connections.ExplainConnection(token_pb2.ExplainConnectionRequest(connection=by_id(before)))
    assert "consent ends at" in explained.explanation
    assert explained.timeline[0].kind == token_pb2.CONNECTION_EVENT_KIND_EXPIRY_ANNOUNCED


async def test_an_expiring_consent_is_remembered_past_a_refresh(shops: Shops) -> None:
    before = await shops.connect("user-1", shops.sandbox.next_seller())
    data = {"expiration_time": str(int(time.time()) + 86_400)}
    await tell(shops, shop_event(7, number="1", shop_id=before.shops[0].id, data=data))

    assert (await shops.refresh(before)).generation == before.generation + 1
    assert (await shops.look(before)).reason == "expiring"


async def test_a_creator_who_leaves_is_disconnected(shops: Shops) -> None:
    before = await shops.connect("user-1", "creator_0001", kind=STORE)
    body = shop_event(20, number="1", creator_open_id=before.account_id, data={"cancel_time": "1"})

    assert await tell(shops, body) == APPLIED
    assert (await shops.look(before)).status == DISCONNECTED


async def test_other_types_and_other_shops_change_nothing(shops: Shops) -> None:
    before = await shops.connect("user-1", shops.sandbox.next_seller())

    assert await tell(shops, shop_event(1, number="1", shop_id=before.shops[0].id, data={})) == IGNORED
    assert await tell(shops, shop_event(6, number="2", shop_id="1")) == IGNORED
    assert (await shops.look(before)).status == ACTIVE


async def test_what_the_shop_did_not_sign_is_refused(shops: Shops) -> None:
    body = shop_event(6, number="1", shop_id="1")

    for signature in ("", shop_header(body + b" "), shop_header(body, secret="another"), f"Bearer {shop_header(body)}"):
        with pytest.raises(Unauthenticated):
            await tell(shops, body, signature)


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        shop_event(6, number="1"),
        shop_event(7, number="1", shop_id="1"),
        shop_event(7, number="1", shop_id="1", data={"expiration_time": "soon"}),
        shop_event(20, number="1", shop_id="1"),
        shop_event(6, number="1", shop_id="1", timestamp=None),
        shop_event(6, number="1", shop_id="1", type="6"),
    ],
    ids=count(),  # the bodies hold the second of their making, which two workers may not share
)
async def test_a_signed_shop_body_without_sense_is_told_as_such(shops: Shops, body: bytes) -> None:
    with pytest.raises(InvalidField):
        await tell(shops, body)


async def test_without_a_shop_app_nothing_can_be_verified(token_dsn: str, sandbox: SandboxProcess) -> None:
    nothing = dict.fromkeys(("TIKTOK_SHOP_APP_KEY", "TIKTOK_SHOP_APP_SECRET", "TIKTOK_SHOP_SERVICE_ID"), "")
    async with serving_shops(token_dsn, sandbox, **nothing) as without:
        with pytest.raises(Unauthenticated, match="No app is set up"):
            await tell(without, b"{}")
