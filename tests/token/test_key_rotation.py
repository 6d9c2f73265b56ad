"""Rotation: every row comes under the active key, while others write, and however often it is cut off."""

import asyncio

import pytest

from libs.errors import ServerMisconfig
from services.token.core.exchange import FIRST_PAUSE
from services.token.core.rotation import Stage
from services.token.core.sealed_rows import Resealed
from services.token.core.vault import Vault
from services.token.domain.connection import Connection, Need, Status, Why
from tests.token.conftest import MINUTE, House, store
from tests.token.counting_provider import QuickClock
from tests.token.key_rings import Keyholder, keyholder, ring_of

FREE = "SELECT count(*) FROM (SELECT 1 FROM connections FOR UPDATE SKIP LOCKED) AS free"


async def house_of(house: House, rows: int) -> Keyholder:
    """Rows under k1, and a replica that seals with k2."""
    old = await keyholder(house, "old", "k1")
    for number in range(rows):
        await house.connect(f"shop-{number}")
    await old.keys.leave()
    return await keyholder(house, "new", "k2", "k1")


async def test_rotation_leaves_no_row_under_the_old_key(house: House) -> None:
    new = await house_of(house, 7)

    steps = await new.rotate()

    assert (await new.rows_under("k1"), await new.rows_under("k2")) == (0, 7)
    assert [step.stage for step in steps].count(Stage.DONE) == 1
    assert (steps[-1].stage, steps[-1].total, steps[-1].rewritten, steps[-1].unreadable) == (Stage.DONE, 7, 7, 0)
    assert (await new.verify())[1].unreadable_tokens == 0


async def test_rotated_tokens_open_with_the_new_key_alone(house: House) -> None:
    new = await house_of(house, 3)
    await new.rotate()
    await new.keys.leave()

    alone = await keyholder(house, "alone", "k2")

    findings, verified = await alone.verify()
    assert (findings, verified.rows) == ([], 3)


async def test_rotation_changes_no_version_and_no_time(house: House) -> None:
    new = await house_of(house, 1)
    unchanged = "SELECT epoch, generation, updated_at, access_expires_at, status FROM connections"
    before = await house.pool.fetchrow(unchanged)

    await new.rotate()

    assert await house.pool.fetchrow(unchanged) == before


async def test_a_rotation_cut_off_is_continued(house: House) -> None:
    new = await house_of(house, 250)
    await new.rotate_until(Stage.REWRITING)
    async for step in new.rotation().rotate():
        if step.rewritten:
            break
    await house.pool.execute("UPDATE key_rotation SET lease_until = NULL")

    last = (await new.rotate())[-1]

    assert (last.total, last.rewritten) == (250, 250)
    assert await new.rows_under("k1") == 0


async def test_a_second_caller_follows_the_rotation_that_runs(house: House) -> None:
    new = await house_of(house, 5)

    first, second = await asyncio.gather(new.rotate(), new.rotate())

    assert (first[-1].stage, second[-1].stage) == (Stage.DONE, Stage.DONE)
    assert first[-1].started_at == second[-1].started_at
    assert first[-1].rewritten == second[-1].rewritten == 5


async def test_a_follower_takes_over_when_the_holder_dies(house: House) -> None:
    new = await house_of(house, 5)
    dead = new.rotation().rotate()
    await anext(dead)
    following = asyncio.create_task(new.rotate())
    await asyncio.sleep(0.1)
    await house.pool.execute("UPDATE key_rotation SET lease_until = clock_timestamp()")

    last = (await following)[-1]

    assert (last.stage, last.rewritten) == (Stage.DONE, 5)


async def test_a_row_written_under_the_old_key_meanwhile_is_met_by_the_last_look(house: House) -> None:
    new = await house_of(house, 2)
    stages = []
    async for step in new.rotation().rotate():
        if step.stage is Stage.SETTLING and Stage.SETTLING not in stages:
            await house.connect("late")
        stages.append(step.stage)

    assert (await new.rows_under("k1"), await new.rows_under("k2")) == (0, 3)
    assert stages[-1] is Stage.DONE


async def test_a_refresh_that_overtakes_a_batch_wins(house: House) -> None:
    new = await house_of(house, 1)
    rows = await new.rows.page_outside(new.vault.active_header, 0, 10)
    resealed = [Resealed(row=row, tokens=new.vault.reseal(row.tokens, row.connection_id, row.version)) for row in rows]
    replica = house.replica()
    held = await replica.connections.find(store("shop-0"))
    assert held is not None
    await replica.refresher.refresh(held.connection, Need(min_ttl=0, spent_generation=1))

    assert await new.rows.swap(resealed) == 0
    assert house.provider.is_alive(await house.stored_refresh_token(held.connection.id))


async def test_a_damaged_row_is_named_and_stops_no_other(house: House) -> None:
    new = await house_of(house, 3)
    damaged = await house.pool.fetchval(
        "UPDATE connections SET access_token = set_byte(access_token, 30, get_byte(access_token, 30) # 1) "
        "WHERE owner_id = 'shop-1' RETURNING id"
    )

    last = (await new.rotate())[-1]

    assert (last.rewritten, last.unreadable) == (2, 1)
    marked = await house.pool.fetch("SELECT id, status, reason FROM connections WHERE status <> 'ACTIVE'")
    assert [tuple(row) for row in marked] == [(damaged, Status.SUSPECT, "unreadable")]


async def test_a_row_that_cannot_be_written_stops_no_other(house: House) -> None:
    new = await house_of(house, 4)
    await house.pool.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE OF access_token ON connections
            FOR EACH ROW WHEN (OLD.owner_id = 'shop-1') EXECUTE FUNCTION refuse();
    """)
    rotating = asyncio.create_task(new.rotate())
    async with asyncio.timeout(10):
        while await new.rows_under("k2") < 3:
            await QuickClock().sleep(0.01)
    assert not rotating.done()

    await house.pool.execute("DROP TRIGGER refuse ON connections")

    assert (await rotating)[-1].rewritten == 4


async def test_a_batch_locks_its_rows_in_the_order_of_their_ids(house: House) -> None:
    new = await house_of(house, 4)
    rows = await new.rows.page_outside(new.vault.active_header, 0, 10)
    downwards = sorted(rows, key=lambda row: row.connection_id, reverse=True)
    resealed = [
        Resealed(row=row, tokens=new.vault.reseal(row.tokens, row.connection_id, row.version)) for row in downwards
    ]
    async with house.pool.acquire() as other, other.transaction():
        await other.execute("SELECT 1 FROM connections WHERE id = $1 FOR UPDATE", downwards[0].connection_id)
        swapping = asyncio.create_task(new.rows.swap(resealed))
        async with asyncio.timeout(10):
            while await house.pool.fetchval(FREE) > 0:
                await QuickClock().sleep(0.01)

    assert await swapping == 4


async def test_no_key_is_kept_for_a_disconnected_row(house: House) -> None:
    new = await house_of(house, 2)
    await house.pool.execute(
        "UPDATE connections SET status = 'DISCONNECTED', epoch = epoch + 1 WHERE owner_id = 'shop-0'"
    )

    last = (await new.rotate())[-1]
    await new.keys.leave()
    alone = await keyholder(house, "alone", "k2")

    assert (last.rewritten, last.unreadable) == (1, 0)
    assert (await alone.verify())[1].rows == 1


async def test_a_replica_that_lacks_the_key_leaves_a_due_connection_to_the_others(house: House) -> None:
    new = await house_of(house, 1)
    await new.rotate()
    connection = await found_store(house)
    await house.expire(connection)

    house.vault = Vault(ring_of("k1"))
    with pytest.raises(ServerMisconfig):
        await house.replica("without k2").tokens.get_valid(store("shop-0"), MINUTE)
    left = await found_store(house)
    await house.pool.execute("UPDATE connections SET next_attempt_at = clock_timestamp()")
    house.vault = new.vault
    valid = await house.replica("with k2").tokens.get_valid(store("shop-0"), MINUTE)

    assert (left.status, left.retry_in <= FIRST_PAUSE, valid.fresh) == (Status.ACTIVE, True, True)


async def test_a_token_whose_key_nobody_has_is_named(house: House) -> None:
    await house.expire(await house.connect("shop-0"))

    house.vault = Vault(ring_of("k3"))
    with pytest.raises(ServerMisconfig):
        await house.replica().tokens.get_valid(store("shop-0"), MINUTE)

    left = await found_store(house)
    assert (left.status, left.reason) == (Status.SUSPECT, Why.UNREADABLE)


async def found_store(house: House) -> Connection:
    held = await house.replica().connections.find(store("shop-0"))
    assert held is not None
    return held.connection
