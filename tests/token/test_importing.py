"""Tokens from elsewhere are taken over once, and an old list of them does no harm."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from tokhub.token.v1 import token_pb2

from libs.clock import SystemClock
from libs.errors import ServerMisconfig
from libs.tiktok.shop_environment import listed_shops
from tests.token.shop_client import STORE, Shops, by_id, serving_shops

IMPORTED = token_pb2.IMPORT_OUTCOME_IMPORTED
ALREADY_KNOWN = token_pb2.IMPORT_OUTCOME_ALREADY_KNOWN
Entry = token_pb2.ImportEntry
GENERATION = "SELECT generation FROM connections WHERE id = $1"


async def granted(shops: Shops, seller: str) -> dict[str, Any]:
    post = shops.sandbox.control.post
    answer = await asyncio.to_thread(post, f"/sandbox/sellers/{seller}/grant", json={})
    grant: dict[str, Any] = answer.raise_for_status().json()
    return grant


def entry(grant: dict[str, Any], shop: int = 0, **more: Any) -> token_pb2.ImportEntry:
    return Entry(
        access_token=grant["access_token"],
        refresh_token=grant["refresh_token"],
        shop_cipher=grant["shops"][shop]["cipher"],
        **more,
    )


async def run(shops: Shops, *entries: token_pb2.ImportEntry) -> list[token_pb2.ImportResult]:
    request = token_pb2.ImportConnectionsRequest(entries=entries)
    return list((await shops.connections.ImportConnections(request)).results)


async def found(shops: Shops, result: token_pb2.ImportResult) -> token_pb2.Connection:
    return await shops.look(token_pb2.Connection(id=result.connection_id))


async def test_an_entry_becomes_a_connection_refreshed_once_with_its_account_and_number(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    grant = await granted(shops, seller)

    (result,) = await run(shops, entry(grant, shop_number=7, name="Mine", team_id=3))

    assert result.outcome == IMPORTED
    connection = await found(shops, result)
    assert (connection.account_id, connection.team_id, connection.owner.id) == (grant["open_id"], 3, "tiktok-shop-7")
    assert [(shop.number, shop.id) for shop in connection.shops] == [(7, grant["shops"][0]["id"])]
    assert 6.9 < connection.hours_left / 24 <= 7
    assert shops.sandbox.ledger(seller)["grants"][0]["refreshes"] == 1


async def test_an_old_list_never_comes_back(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    old = entry(await granted(shops, seller))
    (first,) = await run(shops, old)
    connection = await shops.refresh(await found(shops, first))

    (again,) = await run(shops, old)

    assert (again.outcome, again.connection_id) == (ALREADY_KNOWN, first.connection_id)
    assert (await found(shops, again)).generation == connection.generation
    assert shops.sandbox.ledger(seller)["grants"][0]["dead_refresh_tokens_presented"] == 0


async def test_a_refused_token_is_refused_in_the_next_run_too(shops: Shops) -> None:
    nobodys = Entry(refresh_token="ROW_nobody_knows")

    results = [await run(shops, nobodys) for _ in range(2)]

    assert [one.outcome for (one,) in results] == [token_pb2.IMPORT_OUTCOME_REFUSED] * 2
    assert len({one.connection_id for (one,) in results}) == 1


async def test_an_old_list_is_known_after_the_secret_has_changed(shops: Shops, token_dsn: str) -> None:
    old = entry(await granted(shops, shops.sandbox.next_seller()))
    (first,) = await run(shops, old)
    changed = {"STATE_SECRET": "n" * 64, "STATE_SECRETS_ACCEPTED": f"{'x' * 64}, {'s' * 64}"}

    async with serving_shops(token_dsn, shops.sandbox, **changed) as later:
        (again,) = await run(later, old)

    assert (again.outcome, again.connection_id) == (ALREADY_KNOWN, first.connection_id)


async def test_the_present_token_of_a_connection_is_known_however_it_came(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    connection = await shops.refresh(await shops.connect("user-1", seller))
    # Whoever refreshes is answered before the row has the new token's mark.
    while await shops.pool.fetchval(GENERATION, UUID(connection.id)) != 2:
        await SystemClock().sleep(0.01)
    (grant,) = shops.sandbox.ledger(seller)["grants"]

    (result,) = await run(shops, Entry(refresh_token=grant["live_refresh_token"]))

    assert (result.outcome, result.connection_id) == (ALREADY_KNOWN, connection.id)


async def test_entries_with_one_refresh_token_are_one_connection_with_several_shops(shops: Shops) -> None:
    seller = shops.sandbox.next_seller(shops=3)
    grant = await granted(shops, seller)

    results = await run(shops, *(entry(grant, shop, shop_number=10 + shop) for shop in range(2)))

    assert len({result.connection_id for result in results}) == 1
    connection = await found(shops, results[0])
    assert [shop.number for shop in connection.shops][:2] == [10, 11]
    assert len(connection.shops) == 3
    assert shops.sandbox.ledger(seller)["grants"][0]["refreshes"] == 1


async def test_a_later_entry_with_a_known_token_is_told_whose_it_is_and_its_number(shops: Shops) -> None:
    grant = await granted(shops, shops.sandbox.next_seller(shops=3))
    first, second = (entry(grant, shop, shop_number=10 + 10 * shop) for shop in range(2))
    await run(shops, first)

    again, later = await run(shops, first, second)

    assert [one.outcome for one in (again, later)] == [ALREADY_KNOWN] * 2
    assert again.message == ""
    (number,) = [one.number for one in (await found(shops, later)).shops if one.id == grant["shops"][1]["id"]]
    assert later.message == (
        "It has no connection of its own: store tiktok-shop-10 holds its tokens. "
        f"Its shop has number {number} here, and keeps it."
    )


async def test_a_known_token_whose_connection_was_ended_says_so(shops: Shops) -> None:
    old = entry(await granted(shops, shops.sandbox.next_seller()))
    (first,) = await run(shops, old)
    await shops.connections.Disconnect(token_pb2.DisconnectRequest(connection=by_id(await found(shops, first))))

    (again,) = await run(shops, old)

    assert (again.outcome, "was disconnected" in again.message) == (ALREADY_KNOWN, True)


async def test_entries_that_prove_to_be_one_account_are_one_connection(shops: Shops) -> None:
    seller = shops.sandbox.next_seller(shops=3)
    grants = [await granted(shops, seller) for _ in range(2)]

    results = await run(shops, *(entry(grant, shop, shop_number=1 + shop) for shop, grant in enumerate(grants)))

    live = await shops.pool.fetchval("SELECT count(*) FROM connections WHERE status <> 'DISCONNECTED'")
    assert (live, len({result.connection_id for result in results})) == (1, 1)
    assert {result.outcome for result in results} == {IMPORTED, token_pb2.IMPORT_OUTCOME_MERGED}
    await shops.pool.execute("UPDATE connections SET shops_due_at = clock_timestamp() WHERE status = 'ACTIVE'")
    for chore in shops.core.chores:
        await chore()
    assert [shop.number for shop in (await found(shops, results[0])).shops][:2] == [1, 2]


async def test_a_bad_entry_stops_no_other(shops: Shops) -> None:
    good = entry(await granted(shops, shops.sandbox.next_seller()), shop_number=1)
    taken = entry(await granted(shops, shops.sandbox.next_seller()), shop_number=1)
    await shops.connect("owned", shops.sandbox.next_seller(), kind=STORE)
    owned = entry(await granted(shops, shops.sandbox.next_seller()), owner=token_pb2.Owner(kind=STORE, id="owned"))

    results = await run(
        shops,
        Entry(),
        Entry(refresh_token="no token"),
        Entry(refresh_token="ROW_nobody_knows"),
        good,
        owned,
        Entry(refresh_token="x", owner=token_pb2.Owner(id="no owner")),
        Entry(refresh_token="x", shop_number=-1),
        Entry(refresh_token="x", access_token="a\r\nb"),
        taken,
    )

    assert [token_pb2.ImportOutcome.Name(one.outcome).removeprefix("IMPORT_OUTCOME_") for one in results] == [
        *("INVALID", "INVALID", "REFUSED", "IMPORTED", "OWNER_TAKEN"),
        *("INVALID", "INVALID", "INVALID", "OWNER_TAKEN"),
    ]


async def test_a_number_that_is_taken_is_replaced_by_the_next_free_one(shops: Shops) -> None:
    await shops.connect("user-1", shops.sandbox.next_seller())
    grant = await granted(shops, shops.sandbox.next_seller())

    (result,) = await run(shops, entry(grant, shop_number=1))

    assert [shop.number for shop in (await found(shops, result)).shops] == [2]
    assert result.message == "Another shop has number 1 here: this one has 2."


@pytest.mark.parametrize("number", [0, 1, 3])
async def test_a_shop_that_has_a_number_gets_no_third_one(shops: Shops, number: int) -> None:
    seller = shops.sandbox.next_seller(shops=3)
    connection = await shops.connect("shop-1", seller, kind=STORE)

    (result,) = await run(shops, entry(await granted(shops, seller), 1, shop_number=number))

    for chore in shops.core.chores:
        await chore()
    numbered = {shop.id: shop.number for shop in (await found(shops, result)).shops}
    assert numbered == {shop.id: shop.number for shop in connection.shops}
    assert (f"number {number} here: this one has 2" in result.message) == (number > 0)


async def test_an_import_that_tiktok_does_not_answer_is_finished_later(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    grant = await granted(shops, seller)
    shops.sandbox.fault("503", seller, endpoint="shop_token")

    (result,) = await run(shops, entry(grant))
    assert result.outcome == token_pb2.IMPORT_OUTCOME_PENDING

    await shops.pool.execute("UPDATE connections SET next_attempt_at = NULL, updated_at = updated_at - interval '1 h'")
    for chore in shops.core.chores:
        await chore()
    connection = await found(shops, result)
    assert (connection.account_id, len(connection.shops)) == (grant["open_id"], 1)


async def test_an_import_at_once_on_two_replicas_takes_each_token_once(shops: Shops, token_dsn: str) -> None:
    sellers = [shops.sandbox.next_seller() for _ in range(5)]
    entries = [entry(await granted(shops, seller), shop_number=n + 1) for n, seller in enumerate(sellers)]
    async with serving_shops(token_dsn, shops.sandbox) as other:
        await asyncio.gather(run(shops, *entries), run(other, *entries))

    assert await shops.pool.fetchval("SELECT count(*) FROM connections") == 5
    ledgers = [shops.sandbox.ledger(seller)["grants"][0] for seller in sellers]
    assert [(one["refreshes"], one["dead_refresh_tokens_presented"]) for one in ledgers] == [(1, 0)] * 5


async def test_a_merged_connection_is_usable(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    connection = await shops.connect("user-1", seller)

    (result,) = await run(shops, entry(await granted(shops, seller)))

    assert (result.outcome, result.connection_id) == (token_pb2.IMPORT_OUTCOME_MERGED, connection.id)
    assert (await shops.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=by_id(connection)))).access_token


async def test_without_a_shop_app_nothing_is_imported(shops: Shops, token_dsn: str) -> None:
    unset = {f"TIKTOK_SHOP_{name}": "" for name in ("APP_KEY", "APP_SECRET", "SERVICE_ID")}
    async with serving_shops(token_dsn, shops.sandbox, **unset) as without:
        with pytest.raises(ServerMisconfig):
            await run(without, Entry(refresh_token="x"))


async def test_no_table_holds_a_refresh_token_in_clear(shops: Shops) -> None:
    await run(shops, entry(await granted(shops, shops.sandbox.next_seller())))

    rows = await shops.pool.fetch("SELECT to_jsonb(c) AS row FROM connections c")
    marks = await shops.pool.fetch("SELECT mark FROM refresh_token_marks")
    assert len(marks) == 2
    assert "CNRY" not in json.dumps([row["row"] for row in rows])
    assert not [mark for mark in marks if b"CNRY" in bytes(mark["mark"])]


def test_shops_are_read_from_an_environment_by_their_numbers() -> None:
    environ = {
        "TIKTOK_SHOP2_REFRESH_TOKEN": " TTP_2 ",
        "TIKTOK_SHOP2_NAME": "Two",
        "TIKTOK_SHOP10_ACCESS_TOKEN": "a",
        "TIKTOK_SHOP10_TEAM_ID": "7",
        "TIKTOK_SHOP3_TEAM_ID": "seven",
        "TIKTOK_SHOP4_NAME": "",
        "TIKTOK_SHOP_APP_SECRET": "no shop",
        "TIKTOK_SHOP0_NAME": "no shop",
    }

    listed = listed_shops(environ)

    assert [(shop.number, shop.refresh_token.reveal(), shop.name, shop.team_id) for shop in listed] == [
        (2, "TTP_2", "Two", None),
        (3, "", "", None),
        (10, "", "", 7),
    ]
    assert "TTP_2" not in repr(listed)
