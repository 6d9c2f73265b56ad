"""Login Kit accounts are taken over as shops are: stored first, refreshed once, and never presented twice."""

import asyncio
from typing import Any

import pytest
from tokhub.token.v1 import token_pb2

from tests.token.shop_client import STORE, USER, Shops, by_id, serving_shops

ACCOUNT = token_pb2.PROVIDER_LOGIN_KIT
LAST_YEAR = 1_763_000_000


async def granted(shops: Shops, account: str, kind: str = "accounts") -> dict[str, Any]:
    post = shops.sandbox.control.post
    answer = await asyncio.to_thread(post, f"/sandbox/{kind}/{account}/grant", json={})
    grant: dict[str, Any] = answer.raise_for_status().json()
    return grant


def entry(grant: dict[str, Any], store: str, **more: Any) -> token_pb2.ImportEntry:
    owner = token_pb2.Owner(kind=STORE, id=store) if store else None
    return token_pb2.ImportEntry(provider=ACCOUNT, refresh_token=grant["refresh_token"], owner=owner, **more)


async def run(shops: Shops, *entries: token_pb2.ImportEntry) -> list[tuple[str, str]]:
    """Return the outcomes, each with the connection's id."""
    request = token_pb2.ImportConnectionsRequest(entries=entries)
    results = (await shops.connections.ImportConnections(request)).results
    names = token_pb2.ImportOutcome.Name
    return [(names(one.outcome).removeprefix("IMPORT_OUTCOME_"), one.connection_id) for one in results]


async def look(shops: Shops, connection_id: str) -> token_pb2.Connection:
    return await shops.look(token_pb2.Connection(id=connection_id))


async def test_an_account_keeps_its_owner_team_and_day(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    grant = await granted(shops, account)

    ((outcome, found),) = await run(shops, entry(grant, "bandung", team_id=4, connect_seconds=LAST_YEAR))

    connection = await look(shops, found)
    assert (outcome, connection.provider, connection.account_id) == ("IMPORTED", ACCOUNT, grant["open_id"])
    assert (connection.owner.id, connection.team_id, connection.connect_time.seconds) == ("bandung", 4, LAST_YEAR)
    assert "video.list" in connection.scopes
    assert (await shops.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=by_id(connection)))).access_token
    assert shops.sandbox.ledger(account)["grants"][0]["refreshes"] == 1


async def test_an_account_taken_over_before_is_left_alone(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    old = entry(await granted(shops, account), "medan")
    ((_, found),) = await run(shops, old)
    await shops.refresh(await look(shops, found))

    assert await run(shops, old) == [("ALREADY_KNOWN", found)]
    assert shops.sandbox.ledger(account)["grants"][0]["dead_refresh_tokens_presented"] == 0


async def test_an_account_that_was_connected_here_keeps_its_tokens(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    first, second = [await granted(shops, account) for _ in range(2)]
    ((_, live),) = await run(shops, entry(first, "solo"))

    assert await run(shops, entry(second, "other")) == [("MERGED", live)]
    for chore in shops.core.chores:
        await chore()
    request = token_pb2.GetValidTokenRequest(connection=by_id(await look(shops, live)))
    assert (await shops.tokens.GetValidToken(request)).generation == 2


async def test_an_import_takes_the_place_of_a_connection_that_lost_its_tokens(shops: Shops) -> None:
    account = shops.sandbox.next_account()
    first, second = [await granted(shops, account) for _ in range(2)]
    ((_, dead),) = await run(shops, entry(first, "solo"))
    await shops.pool.execute("UPDATE connections SET status = 'REAUTH_REQUIRED', refresh_token = ''")

    ((outcome, found),) = await run(shops, entry(second, "other"))

    taken = await look(shops, found)
    assert (outcome, taken.owner.id, taken.account_id) == ("IMPORTED", "other", second["open_id"])
    assert (await shops.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=by_id(taken)))).access_token
    assert (await look(shops, dead)).status == token_pb2.CONNECTION_STATUS_DISCONNECTED
    assert await run(shops, entry(first, "third")) == [("ALREADY_KNOWN", found)]


@pytest.mark.parametrize(("decided", "kept"), [("ACTIVE", "solo"), ("REAUTH_REQUIRED", "other")])
async def test_an_import_waits_while_the_other_connection_is_in_doubt(shops: Shops, decided: str, kept: str) -> None:
    account = shops.sandbox.next_account()
    first, second = [await granted(shops, account) for _ in range(2)]
    await run(shops, entry(first, "solo"))
    await shops.pool.execute("UPDATE connections SET status = 'SUSPECT', reason = 'lost_response'")

    ((outcome, _),) = await run(shops, entry(second, "other"))
    await shops.pool.execute("UPDATE connections SET status = $1 WHERE owner_id = 'solo'", decided)
    await shops.pool.execute("UPDATE connections SET updated_at = updated_at - interval '1 h'")
    for chore in shops.core.chores:
        await chore()

    live = await shops.pool.fetch("SELECT owner_id, account_id FROM connections WHERE status <> 'DISCONNECTED'")
    assert (outcome, [tuple(row) for row in live]) == ("PENDING", [(kept, second["open_id"])])
    assert [one["refreshes"] for one in shops.sandbox.ledger(account)["grants"]] == [1, 1]


async def test_one_token_imported_three_times_at_once_is_known(shops: Shops) -> None:
    grant = await granted(shops, shops.sandbox.next_account())

    results = await asyncio.gather(*(run(shops, entry(grant, "kudus")) for _ in range(3)))

    assert sorted(outcome for ((outcome, _),) in results) == ["ALREADY_KNOWN", "ALREADY_KNOWN", "IMPORTED"]
    assert len({found for ((_, found),) in results}) == 1


async def test_no_shops_are_asked_for_with_an_accounts_token(shops: Shops) -> None:
    await run(shops, entry(await granted(shops, shops.sandbox.next_account()), "kediri"))

    assert await shops.pool.fetchval("SELECT count(*) FROM connections WHERE shops_due_at IS NOT NULL") == 0


async def test_an_account_without_an_owner_or_with_a_shop_is_refused(shops: Shops) -> None:
    grant = {"refresh_token": "rft.nobody"}

    outcomes = await run(shops, entry(grant, ""), entry(grant, "a", shop_cipher="ROW_x"))

    assert outcomes == [("INVALID", ""), ("INVALID", "")]


async def test_accounts_are_taken_over_without_a_shop_app(shops: Shops, token_dsn: str) -> None:
    unset = {f"TIKTOK_SHOP_{name}": "" for name in ("APP_KEY", "APP_SECRET", "SERVICE_ID")}
    account = shops.sandbox.next_account()
    async with serving_shops(token_dsn, shops.sandbox, **unset) as without:
        ((outcome, _),) = await run(without, entry(await granted(shops, account), "malang"))
    assert outcome == "IMPORTED"


async def test_a_day_to_come_counts_as_now(shops: Shops) -> None:
    grant = await granted(shops, shops.sandbox.next_account())

    ((_, found),) = await run(shops, entry(grant, "palu", connect_seconds=1 << 34))

    connection = await look(shops, found)
    assert connection.connect_time.seconds == pytest.approx(connection.update_time.seconds, abs=60)


@pytest.mark.parametrize("answered", ["at once", "later"])
async def test_a_user_gets_the_only_shop_asked_for(shops: Shops, answered: str) -> None:
    seller = shops.sandbox.next_seller(shops=3)
    grant = await granted(shops, seller, "sellers")
    if answered == "later":
        shops.sandbox.fault("503", seller, endpoint="shop_token")
    wanted = grant["shops"][1]["id"]

    ((_, found),) = await run(
        shops,
        token_pb2.ImportEntry(
            refresh_token=grant["refresh_token"], owner=token_pb2.Owner(kind=USER, id="user-9"), shop_id=wanted
        ),
    )

    await shops.pool.execute("UPDATE connections SET next_attempt_at = NULL, updated_at = updated_at - interval '1 h'")
    for chore in shops.core.chores:
        await chore()
    assert [shop.id for shop in (await look(shops, found)).shops] == [wanted]
