"""A replayed rotation of a TikTok Shop connection leaves what an ordinary save leaves."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.clock import SystemClock
from libs.rpc.client import open_channel
from libs.secret import Secret
from services.token.core.journal import Entry, replay
from services.token.domain.connection import ById, Provider
from services.token.domain.grant import Grant
from tests.token.shop_client import Shops, by_id
from tests.token.token_process import FREE_DISK, FULL_DISK, environment, running

ALREADY_KNOWN = token_pb2.IMPORT_OUTCOME_ALREADY_KNOWN
PENDING = token_pb2.IMPORT_OUTCOME_PENDING


async def granted(shops: Shops, seller: str) -> tuple[Grant, dict[str, Any]]:
    """Return a grant of a seller, as a refresh brings it and as TikTok tells it."""
    answer = await asyncio.to_thread(shops.sandbox.control.post, f"/sandbox/sellers/{seller}/grant", json={})
    told: dict[str, Any] = answer.raise_for_status().json()
    grant = Grant(
        provider=Provider.TIKTOK_SHOP,
        account_id=told["open_id"],
        access_token=Secret(told["access_token"]),
        access_seconds=3600,
        access_given=3600,
        refresh_token=Secret(told["refresh_token"]),
        refresh_seconds=86_400,
        refresh_given=86_400,
        scopes=(),
    )
    return grant, told


async def rotation(shops: Shops, connection_id: str, grant: Grant) -> Entry:
    """Return what the journal holds of a process that was killed between TikTok's answer and its save."""
    found = await shops.core.connecting.directory.get(ById(id=UUID(connection_id)))
    return Entry.of(found, found.version.refreshed(), grant, SystemClock().now())


async def import_one(shops: Shops, told: dict[str, Any]) -> token_pb2.ImportResult:
    entry = token_pb2.ImportEntry(
        access_token=told["access_token"],
        refresh_token=told["refresh_token"],
        shop_cipher=told["shops"][0]["cipher"],
        shop_number=7,
    )
    request = token_pb2.ImportConnectionsRequest(entries=[entry])
    return (await shops.connections.ImportConnections(request)).results[0]


async def do_all_chores(shops: Shops) -> None:
    await shops.pool.execute(
        "UPDATE connections SET shops_due_at = clock_timestamp() WHERE shops_due_at > clock_timestamp()"
    )
    for chore in shops.core.chores:
        await chore()


async def test_an_import_knows_a_token_that_only_a_replay_has_stored(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    connection = await shops.connect("user-1", seller)
    grant, told = await granted(shops, seller)

    assert await replay([await rotation(shops, connection.id, grant)], shops.core.refreshing.replay) == 1

    result = await import_one(shops, told)
    assert (result.outcome, result.connection_id) == (ALREADY_KNOWN, connection.id)


async def test_a_replayed_rotation_keeps_the_shops_it_has(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    connection = await shops.connect("user-1", seller)
    grant, _ = await granted(shops, seller)

    await replay([await rotation(shops, connection.id, grant)], shops.core.refreshing.replay)

    assert await shops.pool.fetchval("SELECT shops_due_at FROM connections") is None
    assert len((await shops.look(connection)).shops) == 1


async def test_a_replayed_connect_asks_for_its_shops(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    connection = await shops.connect("user-1", seller)
    grant, _ = await granted(shops, seller)
    entry = await rotation(shops, connection.id, grant)
    await shops.pool.execute("DELETE FROM connections")

    assert await replay([entry], shops.core.refreshing.replay) == 1

    await do_all_chores(shops)
    assert [shop.id for shop in (await shops.look(connection)).shops] == [shop.id for shop in connection.shops]


async def test_a_replayed_later_connect_asks_for_its_shops(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    connection = await shops.connect("user-1", seller)
    grant, _ = await granted(shops, seller)
    entry = await rotation(shops, connection.id, grant)

    await replay([replace(entry, version=entry.version.connected())], shops.core.refreshing.replay)

    assert await shops.pool.fetchval("SELECT shops_due_at > clock_timestamp() FROM connections")


async def test_an_imported_connection_learns_its_account_and_shops_from_a_replay(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    _, told = await granted(shops, seller)
    shops.sandbox.fault("503", seller, endpoint="shop_token")
    imported = await import_one(shops, told)
    grant, _ = await granted(shops, seller)

    await replay([await rotation(shops, imported.connection_id, grant)], shops.core.refreshing.replay)

    await do_all_chores(shops)
    found = await shops.look(token_pb2.Connection(id=imported.connection_id))
    assert (imported.outcome, found.account_id) == (PENDING, told["open_id"])
    assert [(shop.number, shop.id) for shop in found.shops] == [(7, told["shops"][0]["id"])]


async def test_an_import_replayed_beside_a_live_connection_gives_way_to_it(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    _, told = await granted(shops, seller)
    shops.sandbox.fault("503", seller, endpoint="shop_token")
    imported = await import_one(shops, told)
    live = await shops.connect("user-1", seller)
    grant, _ = await granted(shops, seller)

    assert await replay([await rotation(shops, imported.connection_id, grant)], shops.core.refreshing.replay) == 1

    name = await shops.pool.fetchval("SELECT account_id FROM connections WHERE id = $1", UUID(imported.connection_id))
    assert name.startswith(f"same:{live.account_id}:")


async def test_an_import_whose_shops_could_not_be_had_asks_for_them_again(shops: Shops) -> None:
    seller = shops.sandbox.next_seller()
    _, told = await granted(shops, seller)
    shops.sandbox.fault("503", seller, endpoint="shops")
    imported = await import_one(shops, told)

    await do_all_chores(shops)

    found = await shops.look(token_pb2.Connection(id=imported.connection_id))
    assert [shop.id for shop in found.shops] == [told["shops"][0]["id"]]


async def test_the_heir_of_a_killed_process_leaves_the_mark_of_its_rotation(
    shops: Shops, token_dsn: str, tmp_path: Path
) -> None:
    seller = shops.sandbox.next_seller()
    connection = await shops.connect("user-1", seller)
    environ = environment(token_dsn, shops.sandbox, tmp_path)
    await shops.pool.execute("UPDATE connections SET access_expires_at = clock_timestamp()")
    await shops.pool.execute(FULL_DISK)
    async with running(environ) as service, open_channel(service.target) as channel:
        request = token_pb2.GetValidTokenRequest(connection=by_id(connection))
        await token_pb2_grpc.TokenServiceStub(channel).GetValidToken(request)
        service.process.kill()
    await shops.pool.execute(FREE_DISK)
    async with running(environ):
        pass

    newest = token_pb2.ImportEntry(refresh_token=shops.sandbox.ledger(seller)["grants"][0]["live_refresh_token"])
    answer = await shops.connections.ImportConnections(token_pb2.ImportConnectionsRequest(entries=[newest]))
    (result,) = answer.results
    assert (result.outcome, result.connection_id) == (ALREADY_KNOWN, connection.id)
