"""Whatever changes or reveals a secret leaves one row in the transaction that does it, and happens only with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from tokhub.token.v1 import token_pb2

from libs.database.pool import Pool, open_pool
from libs.errors import StorageUnavailable
from services.token.__main__ import SCHEMA
from services.token.adapters.due import PostgresDue
from services.token.adapters.restoring import PostgresReplay
from services.token.core.ahead import RefreshAhead
from services.token.core.journal import settle
from services.token.core.rotation import Stage
from tests.token.conftest import MINUTE, House, store
from tests.token.counting_provider import QuickClock
from tests.token.event_sender import SHOP as SHOP_EVENTS
from tests.token.event_sender import send, shop_event
from tests.token.key_rings import keyholder
from tests.token.rpc_client import Client, reference
from tests.token.shop_client import STORE, Shops
from tests.token.test_explain_connection import refresh
from tests.token.test_importing import entry, granted, run

HERE = "ipv4:127.0.0.1"


@pytest.fixture
async def rows(token_dsn: str) -> AsyncIterator[Pool]:
    async with open_pool(token_dsn, application="test", schema=SCHEMA) as pool:
        yield pool


async def trail(pool: Pool, columns: str = "kind, reason", *, since: int = 0) -> list[tuple[str, ...]]:
    found = await pool.fetch(f"SELECT {columns} FROM connection_events WHERE id > $1 ORDER BY id", since)
    return [tuple(row) for row in found]


async def newest(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT coalesce(max(id), 0) FROM connection_events"))


async def forbid(pool: Pool, kind: str) -> None:
    """Let no row of a kind be written."""
    await pool.execute("""
        CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.kind = TG_ARGV[0] THEN RAISE EXCEPTION 'no audit'; END IF; RETURN NEW; END $$
    """)
    await pool.execute(f"""
        CREATE TRIGGER forbid BEFORE INSERT ON connection_events FOR EACH ROW EXECUTE FUNCTION forbid('{kind}')
    """)


async def permit(pool: Pool) -> None:
    await pool.execute("DROP TRIGGER forbid ON connection_events")


async def disconnect(client: Client) -> None:
    await client.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference("shop-1")))


async def connect(client: Client) -> None:
    await client.connect("shop-1")


async def refresh_by_hand(client: Client) -> None:
    await refresh(client, "by-hand")


@pytest.mark.parametrize(
    ("operation", "left"),
    [
        (connect, ["CONNECTED"]),
        (refresh_by_hand, ["REFRESH_INTENT", "REFRESHED"]),
        (disconnect, ["DISCONNECTED"]),
    ],
)
async def test_an_operation_leaves_what_it_did_and_who_asked(
    client: Client, rows: Pool, operation: Callable[[Client], Awaitable[None]], left: list[str]
) -> None:
    if operation is not connect:
        await client.connect("shop-1")
    before = await newest(rows)

    await operation(client)

    found = await trail(rows, "kind, actor, replica, request_id", since=before)
    assert [row[:3] for row in found] == [(kind, HERE, "test") for kind in left]
    assert {len(request_id) for *_, request_id in found} == {32}


async def test_what_happens_ahead_of_need_is_nobodys_request(house: House) -> None:
    await house.expire(await house.connect())
    refresher = house.replica().refresher

    async with RefreshAhead(rows=PostgresDue(house.pool), refresher=refresher, clock=QuickClock(), in_flight=1):
        await house.provider.arrived.wait()
        await refresher.drain()

    assert await trail(house.pool, "kind, actor, request_id", since=1) == [
        ("REFRESH_INTENT", "background", ""),
        ("REFRESHED", "background", ""),
    ]


async def test_an_import_leaves_a_row_for_each_step(shops: Shops) -> None:
    grant = await granted(shops, shops.sandbox.next_seller())

    await run(shops, entry(grant, shop_number=7))

    found = await trail(shops.pool, "kind, reason, actor")
    assert found == [
        ("IMPORTED", "", HERE),
        ("REFRESH_INTENT", "", HERE),
        ("REFRESHED", "", HERE),
        ("SHOPS_LEARNT", grant["shops"][0]["id"], HERE),
    ]


async def test_an_import_that_gives_way_says_so_once(shops: Shops) -> None:
    seller = shops.sandbox.next_seller(shops=3)
    grants = [await granted(shops, seller) for _ in range(2)]

    await run(shops, *(entry(grant, shop, shop_number=1 + shop) for shop, grant in enumerate(grants)))

    assert [row for row in await trail(shops.pool) if row[0] == "DISCONNECTED"] == [("DISCONNECTED", "merged")]


async def test_a_providers_event_leaves_one_row(shops: Shops) -> None:
    connection = await shops.connect("shop-1", shops.sandbox.next_seller(shops=3), kind=STORE)
    before = await newest(shops.pool)

    for _ in range(2):
        await send(shops.connections, shop_event(6, number="1", shop_id=connection.shops[0].id), None, SHOP_EVENTS)

    assert await trail(shops.pool, since=before) == [("SHOP_REMOVED", connection.shops[0].id)]


async def test_a_key_that_becomes_active_leaves_one_row(house: House) -> None:
    one = await keyholder(house, "one", "k1")
    await one.member.report()

    assert await trail(house.pool, "kind, reason, replica, actor") == [("KEY_ACTIVATED", "k1", "one", "background")]


async def test_a_rotation_leaves_its_begin_and_its_end(house: House) -> None:
    await house.connect()
    one = await keyholder(house, "one", "k2", "k1")
    before = await newest(house.pool)

    await one.rotate()

    assert await trail(house.pool, since=before) == [("ROTATION_BEGUN", "k2"), ("ROTATION_DONE", "k2")]


async def test_whoever_takes_a_rotation_over_is_named_too(house: House) -> None:
    await house.connect()
    one = await keyholder(house, "one", "k2", "k1")
    before = await newest(house.pool)
    await one.rotate_until(Stage.SETTLING)
    await house.pool.execute("UPDATE key_rotation SET lease_until = NULL")

    await one.rotate()

    begun, again, done = await trail(house.pool, since=before)
    assert (begun, again, done) == (begun, begun, ("ROTATION_DONE", "k2"))


async def test_a_verification_leaves_its_begin_and_what_it_found(house: House) -> None:
    await house.connect()
    one = await keyholder(house, "one", "k1")
    before = await newest(house.pool)

    await one.verify()

    begun, verified = await trail(house.pool, since=before)
    assert (begun, verified) == (("VERIFY_BEGUN", ""), ("VERIFIED", "rows=1 unreadable=0, records=0 unreadable=0"))


async def test_without_a_row_nothing_is_verified_or_rotated(house: House) -> None:
    await house.connect()
    one = await keyholder(house, "one", "k2", "k1")
    await house.pool.execute("ALTER TABLE connection_events RENAME TO gone")

    with pytest.raises(asyncpg.UndefinedTableError):
        await one.verify()
    with pytest.raises(asyncpg.UndefinedTableError):
        await one.rotate()

    assert await one.rows_under("k1") == 1


async def test_without_a_row_no_key_becomes_active(house: House) -> None:
    await forbid(house.pool, "KEY_ACTIVATED")

    with pytest.raises(StorageUnavailable):
        await keyholder(house, "one", "k1")

    assert await house.pool.fetchval("SELECT count(*) FROM key_canaries WHERE activated_at IS NOT NULL") == 0


async def test_without_a_row_nobody_is_connected_and_the_grant_goes_back(client: Client, rows: Pool) -> None:
    account = client.sandbox.next_account()
    await forbid(rows, "CONNECTED")

    with pytest.raises(StorageUnavailable):
        await client.connect("shop-1", account)

    assert await rows.fetchval("SELECT count(*) FROM connections") == 0
    assert [grant["live_refresh_token"] for grant in client.sandbox.ledger(account)["grants"]] == [None]
    await permit(rows)
    assert (await client.connect("shop-1", account)).generation == 1


async def test_without_a_row_nobody_is_disconnected(client: Client, rows: Pool) -> None:
    await client.connect("shop-1")
    await forbid(rows, "DISCONNECTED")

    with pytest.raises(StorageUnavailable):
        await disconnect(client)

    assert await rows.fetchval("SELECT status FROM connections") == "ACTIVE"
    assert await rows.fetchval("SELECT count(*) FROM revocations") == 0


async def test_without_a_row_nothing_is_imported(shops: Shops) -> None:
    await forbid(shops.pool, "IMPORTED")

    with pytest.raises(StorageUnavailable):
        await run(shops, entry(await granted(shops, shops.sandbox.next_seller())))

    assert await shops.pool.fetchval("SELECT count(*) FROM connections") == 0
    assert await shops.pool.fetchval("SELECT count(*) FROM refresh_token_marks") == 0


async def test_a_save_waits_for_its_row_and_is_never_lost(house: House, tmp_path: Path) -> None:
    connection = await house.connect()
    await house.expire(connection)
    await forbid(house.pool, "REFRESHED")
    async with house.open_journal(tmp_path, "replica-1") as house.journal:
        replica = house.replica()
        valid = await replica.tokens.get_valid(store("shop-1"), MINUTE)
        saved = await house.pool.fetchval("SELECT generation FROM connections")
        await permit(house.pool)
        await replica.refresher.drain()

    assert (valid.fresh, saved) == (True, 1)
    assert house.provider.is_alive(await house.stored_refresh_token(connection.id))
    assert [kind for kind, _ in await trail(house.pool)] == ["CONNECTED", "REFRESH_INTENT", "REFRESHED"]


async def test_a_process_that_died_waiting_for_its_row_is_made_up_for(house: House, tmp_path: Path) -> None:
    connection = await house.connect()
    await house.expire(connection)
    await forbid(house.pool, "REFRESHED")
    async with house.open_journal(tmp_path, "died") as house.journal:
        died = house.replica("died")
        await died.tokens.get_valid(store("shop-1"), MINUTE)
        for flight in list(died.refresher._flights.values()):
            flight.task.cancel()
            await asyncio.gather(flight.task, return_exceptions=True)
    await permit(house.pool)

    async with house.open_journal(tmp_path, "heir") as journal, journal.taking_over() as inheritance:
        await settle(inheritance, PostgresReplay(pool=house.pool, vault=house.vault))

    assert house.provider.is_alive(await house.stored_refresh_token(connection.id))
    assert (await trail(house.pool, "kind, reason, actor"))[-1] == ("REFRESHED", "restored", "journal")


@pytest.mark.parametrize("change", ["kind = 'CONNECTED'", "actor = ''", "at = now()", "reason = 'x'"])
async def test_no_row_is_ever_changed(house: House, change: str) -> None:
    await house.connect()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await house.pool.execute(f"UPDATE connection_events SET {change}")
