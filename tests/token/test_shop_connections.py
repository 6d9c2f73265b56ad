"""A seller's consent becomes a connection with shops, one shop for a user and one owner for a shop."""

import asyncio
import json

import pytest
from tokhub.token.v1 import token_pb2

from libs.errors import AccountAlreadyConnected, ReauthRequired, ServerMisconfig, ShopChoiceRequired, StateInvalid
from tests.token.shop_client import SHOP, STORE, Shops, by_id, serving_shops


async def test_a_seller_is_connected_with_the_shop_and_its_cipher(shops: Shops) -> None:
    connection = await shops.connect("user-1", shops.sandbox.next_seller())

    (shop,) = connection.shops
    assert (connection.provider, shop.number, shop.seller_type) == (SHOP, 1, "LOCAL")
    assert shop.id.isdigit()
    valid = await shops.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=by_id(connection)))
    assert list(valid.shops) == [shop]
    assert shop.cipher


async def test_lifetimes_come_from_ends_that_are_stored_as_given(shops: Shops) -> None:
    connection = await shops.connect("user-1", shops.sandbox.next_seller())

    row = await shops.pool.fetchrow("SELECT access_given, refresh_given FROM connections")
    assert row is not None
    assert abs(row["access_given"] - connection.access_expire_time.seconds) <= 2
    assert abs(row["refresh_given"] - connection.refresh_expire_time.seconds) <= 2
    assert 6.9 < connection.hours_left / 24 <= 7


async def test_a_refresh_rotates_the_token_and_keeps_shops_and_account(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    before = await shops.connect("user-1", seller)

    after = await shops.refresh(before)

    assert (after.generation, after.account_id) == (before.generation + 1, before.account_id)
    assert list(after.shops) == list(before.shops)
    assert shops.sandbox.ledger(seller)["grants"][0]["dead_refresh_tokens_presented"] == 0


async def test_a_store_gets_all_shops_of_a_grant_in_numbers(shops: Shops) -> None:
    connection = await shops.connect("shop-1", shops.sandbox.next_seller(shops=3), kind=STORE)

    assert [shop.number for shop in connection.shops] == [1, 2, 3]
    assert len({shop.cipher for shop in connection.shops}) == 3


async def test_a_user_must_choose_among_several_shops(shops: Shops) -> None:
    seller = shops.sandbox.next_seller(shops=3)

    with pytest.raises(ShopChoiceRequired) as caught:
        await shops.connect("user-1", seller)

    choices = json.loads(caught.value.metadata["shops"])
    chosen = await shops.connect("user-1", seller, shop_id=choices[1]["id"])
    assert [shop.id for shop in chosen.shops] == [choices[1]["id"]]


async def test_a_shop_that_the_seller_does_not_have_cannot_be_chosen(shops: Shops) -> None:
    with pytest.raises(ShopChoiceRequired):
        await shops.connect("user-1", shops.sandbox.next_seller(), shop_id="7000000000000000000")


async def test_a_user_has_one_shop_and_may_connect_it_again(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    first = await shops.connect("user-1", seller)

    again = await shops.connect("user-1", seller)
    with pytest.raises(AccountAlreadyConnected):
        await shops.connect("user-1", shops.sandbox.next_seller())

    assert (again.id, again.epoch, list(again.shops)) == (first.id, first.epoch + 1, list(first.shops))


async def test_of_two_users_who_want_one_shop_at_once_one_gets_it(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()

    results = await asyncio.gather(
        *(shops.connect(f"user-{number}", seller) for number in range(6)), return_exceptions=True
    )

    refused = [result for result in results if isinstance(result, AccountAlreadyConnected)]
    assert (len(refused), await shops.pool.fetchval("SELECT count(*) FROM connections")) == (5, 1)
    assert refused[0].metadata["owner"] == "user us***"


async def test_a_shop_of_another_sellers_account_is_refused_too(shops: Shops) -> None:
    first = await shops.connect("user-1", shops.sandbox.next_seller())
    await shops.pool.execute("UPDATE connections SET account_id = 'a colleague of the seller'")
    seller = shops.sandbox.next_seller()
    shop_id = (await shops.connect("user-2", seller)).shops[0].id
    await shops.pool.execute("UPDATE connections SET status = 'DISCONNECTED' WHERE owner_id = 'user-2'")
    await shops.pool.execute("UPDATE shops SET connection_id = $1 WHERE shop_id = $2", first.id, shop_id)

    with pytest.raises(AccountAlreadyConnected):
        await shops.connect("user-3", seller)


async def test_a_shop_keeps_its_number_with_another_owner(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    number = (await shops.connect("user-1", seller)).shops[0].number
    await shops.connect("user-2", shops.sandbox.next_seller())
    await shops.pool.execute("UPDATE connections SET status = 'DISCONNECTED' WHERE owner_id = 'user-1'")

    assert (await shops.connect("user-3", seller)).shops[0].number == number


async def test_shops_that_cannot_be_told_now_do_not_lose_the_grant(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    shops.sandbox.fault("500", seller, endpoint="shops")

    connection = await shops.connect("user-1", seller)
    assert (connection.status, len(connection.shops)) == (token_pb2.CONNECTION_STATUS_ACTIVE, 0)

    await shops.pool.execute("UPDATE connections SET shops_due_at = clock_timestamp()")
    for chore in shops.core.chores:
        await chore()
    assert len((await shops.look(connection)).shops) == 1


async def test_a_wanted_shop_is_remembered_until_it_can_be_told(shops: Shops) -> None:
    seller = shops.sandbox.next_seller(shops=3)
    with pytest.raises(ShopChoiceRequired) as caught:
        await shops.connect("user-1", seller)
    wanted = json.loads(caught.value.metadata["shops"])[2]["id"]
    shops.sandbox.fault("html", seller, endpoint="shops")
    connection = await shops.connect("user-1", seller, shop_id=wanted)

    await shops.pool.execute("UPDATE connections SET shops_due_at = clock_timestamp()")
    for chore in shops.core.chores:
        await chore()

    assert [shop.id for shop in (await shops.look(connection)).shops] == [wanted]


async def test_a_redirect_without_state_is_nobodys_and_spends_no_code(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    url = f"{shops.sandbox.shop_authorize_url}?service_id={shops.sandbox.shop_service_id}"
    came_back = await asyncio.to_thread(shops.sandbox.agree, url, seller)

    with pytest.raises(StateInvalid):
        await shops.connections.CompleteAuthorization(token_pb2.CompleteAuthorizationRequest(code=came_back["code"]))

    assert shops.sandbox.ledger(seller)["grants"] == []


async def test_a_seller_who_took_the_app_away_must_consent_again(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    connection = await shops.connect("user-1", seller)
    shops.sandbox.control.post(f"/sandbox/sellers/{seller}/revoke").raise_for_status()

    with pytest.raises(ReauthRequired):
        await shops.refresh(connection)

    assert (await shops.look(connection)).status == token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED


async def test_a_refused_app_blames_no_seller(shops: Shops, token_dsn: str) -> None:
    connection = await shops.connect("user-1", shops.sandbox.next_seller())
    async with serving_shops(token_dsn, shops.sandbox, TIKTOK_SHOP_APP_SECRET="another") as wrong:
        with pytest.raises(ServerMisconfig):
            await wrong.refresh(connection)

    assert (await shops.look(connection)).status == token_pb2.CONNECTION_STATUS_ACTIVE


async def test_an_end_in_the_year_2123_is_a_date(shops: Shops) -> None:
    connection = await shops.connect("user-1", shops.sandbox.next_seller())
    await shops.pool.execute("UPDATE connections SET refresh_expires_at = to_timestamp(4841467787)")

    assert (await shops.look(connection)).refresh_expire_time.seconds == 4_841_467_787
