"""However many ask, TikTok is asked once, and what it gave is kept."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from libs.database.pool import PoolLimits, open_pool
from libs.errors import UpstreamUnavailable
from services.token.__main__ import SCHEMA
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.providers import TIKTOK_DEADLINE
from services.token.core.connections import Held, Setback
from services.token.core.exchange import CALL_TAKES, SECOND_TRY_AFTER, refreshed
from services.token.core.refresh import LEASE
from services.token.domain.connection import Connection, Need, Reference, Status
from tests.token.conftest import MINUTE, House, other_than, store


async def test_a_valid_token_costs_no_refresh(house: House) -> None:
    await house.connect()

    valid = await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    assert (valid.fresh, house.provider.refreshes) == (True, 0)


async def test_callers_of_one_process_share_one_refresh(house: House) -> None:
    await house.expire(await house.connect())
    tokens = house.replica().tokens

    answers = await asyncio.gather(*(tokens.get_valid(store("shop-1"), MINUTE) for _ in range(50)))

    assert house.provider.refreshes == 1
    assert len({answer.access_token for answer in answers}) == 1


async def test_replicas_share_one_refresh_through_the_lease(house: House) -> None:
    await house.expire(await house.connect())
    replicas = [house.replica(f"replica-{n}") for n in range(3)]

    answers = await asyncio.gather(
        *(one.tokens.get_valid(store("shop-1"), MINUTE) for one in replicas for _ in range(10))
    )

    assert (house.provider.refreshes, house.provider.dead_presented) == (1, [])
    assert len({answer.access_token for answer in answers}) == 1


async def test_only_one_of_many_claims_gets_the_lease(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    need = Need(min_ttl=60)

    leases = await asyncio.gather(
        *(house.replica(f"r{n}").connections.claim(connection.id, need, lease=LEASE) for n in range(20))
    )

    assert sum(lease is not None for lease in leases) == 1


async def test_a_lease_ends_by_the_databases_clock(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    need = Need(min_ttl=60)
    first = await house.replica("dies").connections.claim(connection.id, need, lease=0.05)
    await asyncio.sleep(0.1)

    second = await house.replica("takes over").connections.claim(connection.id, need, lease=LEASE)

    assert first is not None
    assert second is not None


async def test_a_holder_paused_past_its_lease_still_saves_its_rotation(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.gate.clear()
    paused = asyncio.create_task(house.replica("paused").tokens.get_valid(store("shop-1"), MINUTE))
    await house.provider.arrived.wait()
    await house.pool.execute("UPDATE connections SET lease_until = clock_timestamp() - interval '1 s'")
    with pytest.raises(UpstreamUnavailable):
        await house.replica("thief").tokens.get_valid(store("shop-1"), MINUTE)

    house.provider.gate.set()
    valid = await paused

    assert (valid.fresh, valid.connection.status) == (True, Status.ACTIVE)
    assert house.provider.is_alive(await house.stored_refresh_token(connection.id))


async def test_a_caller_that_leaves_does_not_stop_the_refresh(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.gate.clear()
    replica = house.replica()
    caller = asyncio.create_task(replica.tokens.get_valid(store("shop-1"), MINUTE))
    await house.provider.arrived.wait()
    caller.cancel()
    house.provider.gate.set()
    await replica.refresher.drain()

    assert house.provider.is_alive(await house.stored_refresh_token(connection.id))


async def test_a_new_connect_beats_a_refresh_on_its_way(house: House) -> None:
    connection = await house.connect(account="same account")
    await house.expire(connection)
    house.provider.gate.clear()
    late = asyncio.create_task(house.replica().tokens.get_valid(store("shop-1"), MINUTE))
    await house.provider.arrived.wait()
    newer = await house.connect(account="same account")
    token_of_newer = await house.stored_refresh_token(connection.id)

    house.provider.gate.set()
    answer = await late

    assert newer.version == answer.connection.version
    assert token_of_newer == await house.stored_refresh_token(connection.id)


@pytest.mark.parametrize("state", ["53100", "58030", "P0001", "42501"])
async def test_new_tokens_wait_out_a_database_that_refuses_writes(house: House, state: str) -> None:
    connection = await house.connect()
    await house.expire(connection)
    house.provider.gate.clear()
    caller = asyncio.create_task(house.replica().tokens.get_valid(store("shop-1"), MINUTE))
    await house.provider.arrived.wait()
    await house.pool.execute(f"""
        CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$
    """)
    await house.pool.execute(
        "CREATE TRIGGER full_disk BEFORE UPDATE ON connections FOR EACH ROW EXECUTE FUNCTION full()"
    )
    house.provider.gate.set()
    await asyncio.sleep(0.2)
    assert not caller.done()

    await house.pool.execute("DROP TRIGGER full_disk ON connections")
    await caller

    assert house.provider.is_alive(await house.stored_refresh_token(connection.id))


async def test_a_save_repeated_after_a_lost_commit_answer_is_no_conflict(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    connections = house.replica().connections
    lease = await connections.claim(connection.id, Need(min_ttl=60), lease=LEASE)
    assert lease is not None
    grant = house.provider.mint("account of shop-1")
    sealed = house.vault.seal(grant, connection.id, lease.version.refreshed())

    assert [await connections.save(lease, grant, sealed) for _ in range(2)] == [True, True]


async def test_new_tokens_are_saved_while_the_pool_is_exhausted(house: House, token_dsn: str) -> None:
    connection = await house.connect()
    lease = await house.replica().connections.claim(connection.id, Need(min_ttl=0, spent_generation=1), lease=LEASE)
    assert lease is not None
    grant = house.provider.mint("account of shop-1")
    sealed = house.vault.seal(grant, connection.id, lease.version.refreshed())
    limits = PoolLimits(min_size=1, max_size=1, close_timeout=0.1)
    async with open_pool(token_dsn, application="test", schema=SCHEMA, limits=limits) as pool, pool.acquire():
        connections = PostgresConnections(pool=pool, replica="replica-1", reserve=house.pool)

        assert await connections.save(lease, grant, sealed)


async def test_callers_who_met_a_401_cause_one_refresh(house: House) -> None:
    connection = await house.connect()
    rejected = connection.version.generation
    tokens = house.replica().tokens

    answers = await asyncio.gather(*(tokens.get_valid(store("shop-1"), other_than(rejected)) for _ in range(16)))

    assert house.provider.refreshes == 1
    assert {rejected + 1} == {answer.connection.version.generation for answer in answers}


async def test_a_late_401_of_an_old_generation_refreshes_nothing(house: House) -> None:
    connection = await house.connect()
    tokens = house.replica().tokens
    await tokens.get_valid(store("shop-1"), other_than(connection.version.generation))

    await tokens.get_valid(store("shop-1"), other_than(connection.version.generation))

    assert house.provider.refreshes == 1


async def test_a_token_that_never_lives_long_is_not_refreshed_in_a_loop(house: House) -> None:
    await house.connect(life=0)
    house.provider.life = 30
    tokens = house.replica().tokens

    answer = await tokens.get_valid(store("shop-1"), MINUTE)
    with pytest.raises(UpstreamUnavailable):
        await tokens.get_valid(store("shop-1"), other_than(answer.connection.version.generation))

    assert (house.provider.refreshes, answer.fresh) == (1, True)


async def test_more_life_than_a_token_has_is_not_asked_for(house: House) -> None:
    await house.connect(life=1800)

    await house.replica().tokens.get_valid(store("shop-1"), Need(min_ttl=3600))

    assert house.provider.refreshes == 0


def test_deadlines_leave_room_inside_the_lease() -> None:
    assert 2 * TIKTOK_DEADLINE + SECOND_TRY_AFTER[1] + 5 < LEASE
    assert TIKTOK_DEADLINE <= CALL_TAKES


async def test_who_comes_the_moment_a_flight_has_landed_takes_off_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await house.connect()
    replica, late = house.replica(), list[asyncio.Task[Held]]()
    find = replica.connections.find

    def come_late(seen: Connection) -> None:
        need = Need(min_ttl=0, spent_generation=seen.version.generation)
        late.append(asyncio.create_task(replica.refresher.refresh(seen, need)))

    async def find_and_land(reference: Reference) -> Held | None:
        held = await find(reference)
        if held and not late:
            asyncio.get_running_loop().call_soon(come_late, held.connection)
            await asyncio.sleep(0)
        return held

    monkeypatch.setattr(replica.connections, "find", find_and_land)
    await house.replica("elsewhere").refresher.refresh(connection, Need(min_ttl=0, spent_generation=1))

    await replica.refresher.refresh(connection, Need(min_ttl=0, spent_generation=1))

    assert (await late[0]).connection.version.generation == 3


async def test_a_refresh_answers_with_the_new_end_of_the_consent(house: House) -> None:
    connection = await house.connect()
    grant = replace(house.provider.mint("account"), refresh_seconds=1_000_000)
    told, read_at = (
        refreshed(connection, grant),
        connection.access_expires_at - timedelta(seconds=connection.seconds_left),
    )

    assert told.refresh_expires_at == read_at + timedelta(seconds=1_000_000)
    assert refreshed(told, replace(grant, refresh_seconds=None)).refresh_expires_at == told.refresh_expires_at


async def test_a_holder_that_was_overtaken_does_not_end_the_lease_of_another(house: House) -> None:
    connection = await house.connect()
    await house.expire(connection)
    paused, present = house.replica("paused").connections, house.replica("present").connections
    late = await paused.claim(connection.id, house.need, lease=LEASE)
    await house.pool.execute("UPDATE connections SET lease_until = clock_timestamp() - interval '1 second'")
    held = await present.claim(connection.id, house.need, lease=LEASE)

    assert late is not None
    assert held is not None
    assert not await paused.give_back(late, Setback(pause=5))
    assert await house.pool.fetchval("SELECT lease_owner FROM connections") == held.name
    assert await present.give_back(held, Setback(pause=5))
