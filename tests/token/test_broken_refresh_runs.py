"""A run of RefreshAll whose process is gone is joined by nobody, and gone on with by who asks next."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import UpstreamUnavailable
from libs.rpc.client import open_channel
from services.token.adapters.refresh_runs import PostgresRefreshRuns
from tests.fixtures_sandbox import SandboxProcess
from tests.token.conftest import House
from tests.token.rpc_client import serving
from tests.token.test_refresh_all import connect_expired, counts, replica, until_presented
from tests.token.token_process import environment, running

FORCE = token_pb2.RefreshAllRequest(force=True)


async def broken_run(house: House, *, ended: str = "now()", holder: str = "") -> UUID:
    """Leave a forced run of a dead process in the table."""
    run = uuid4()
    await house.pool.execute(
        f"INSERT INTO refresh_runs (id, scope, state, lease_until, ended_at, holder) "
        f"VALUES ($1, '*/*/force', 'LOST', now() + interval '30 s', {ended}, $2)",
        run,
        holder,
    )
    return run


async def part(house: House, run: UUID, owner: str, outcome: str) -> None:
    await house.pool.execute(
        "INSERT INTO refresh_outcomes SELECT $1, number, id, $3, '', '', now(), 0 FROM connections WHERE owner_id = $2",
        run,
        owner,
        outcome,
    )


async def states(house: House) -> list[str]:
    return [row["state"] for row in await house.pool.fetch("SELECT state FROM refresh_runs ORDER BY started_at")]


async def test_a_run_whose_process_is_gone_is_joined_by_nobody(house: House) -> None:
    await connect_expired(house, 2)
    await house.pool.execute(
        "INSERT INTO refresh_runs (id, scope, lease_until, holder) "
        "VALUES (gen_random_uuid(), '*/*/force', now() + interval '30 s', 'nobody')"
    )

    async with replica(house) as one:
        assert counts(await one.ask(FORCE)) == (2, 2, 0, 0)

    assert await states(house) == ["LOST", "FINISHED"]


async def test_a_run_whose_process_is_gone_ends_though_nobody_asks(house: House) -> None:
    await broken_run(house, ended="NULL", holder="nobody")
    await house.pool.execute("UPDATE refresh_runs SET state = 'RUNNING'")

    await PostgresRefreshRuns(house.pool).lose()

    assert await states(house) == ["LOST"]


async def test_a_forced_run_goes_on_where_the_one_before_it_broke_off(house: House) -> None:
    await connect_expired(house, 6)
    house.provider.gate.clear()
    async with replica(house, "stopped", concurrency=2) as first:
        asking = asyncio.create_task(first.ask(FORCE))
        await until_presented(house, 2)
        first.refresh_all.close()
        house.provider.gate.set()
        with pytest.raises(UpstreamUnavailable):
            await asking

    async with replica(house, "next") as second:
        summary = await second.ask(FORCE)

    assert (counts(summary), house.provider.refreshes) == ((6, 6, 0, 0), 6)
    assert sorted(name for name, _, _ in second.told) == [f"shop-{number}" for number in range(6)]


async def test_what_failed_or_was_skipped_before_is_tried_again(house: House) -> None:
    await connect_expired(house, 3)
    run = await broken_run(house)
    for owner, outcome in (("shop-0", "REFRESHED"), ("shop-1", "FAILED"), ("shop-2", "SKIPPED")):
        await part(house, run, owner, outcome)

    async with replica(house) as one:
        summary = await one.ask(FORCE)

    assert (counts(summary), house.provider.refreshes) == ((3, 3, 0, 0), 2)


async def test_a_run_that_broke_off_long_ago_is_history(house: House) -> None:
    await connect_expired(house, 1)
    run = await broken_run(house, ended="now() - interval '11 minutes'")
    await part(house, run, "shop-0", "REFRESHED")

    async with replica(house) as one:
        await one.ask(FORCE)

    assert house.provider.refreshes == 1


async def test_a_run_that_ended_well_is_not_gone_on_with(house: House) -> None:
    await connect_expired(house, 2)

    async with replica(house) as one:
        await one.ask(FORCE)
        await one.ask(FORCE)

    assert house.provider.refreshes == 4


async def test_another_replica_does_at_once_what_a_killed_one_left(token_dsn: str, sandbox: SandboxProcess) -> None:
    accounts = [sandbox.next_account() for _ in range(4)]
    async with serving(token_dsn, sandbox) as client:
        for number, account in enumerate(accounts):
            await client.connect(f"shop-{number}", account)
    environ = environment(token_dsn, sandbox) | {"REFRESH_CONCURRENCY": "1"}
    async with running(environ) as killed, running(environ) as other:
        sandbox.fault("slow", accounts[2], endpoint="token", seconds=3)
        async with open_channel(killed.target) as channel:
            stream = token_pb2_grpc.TokenServiceStub(channel).RefreshAll(FORCE)
            for _ in range(2):
                await anext(aiter(stream))
            killed.process.kill()
            await killed.process.wait()
        async with asyncio.timeout(25), open_channel(other.target) as channel:
            news = [one async for one in token_pb2_grpc.TokenServiceStub(channel).RefreshAll(FORCE)]
    database = await asyncpg.connect(token_dsn)
    found = await database.fetch("SELECT state FROM credentials.refresh_runs ORDER BY started_at")
    await database.close()

    assert [row["state"] for row in found] == ["LOST", "FINISHED"]
    # The third was on its way: its answer is waited for, and its token not presented twice.
    assert [one.ended.reason for one in news[:-1]] == ["", "", "REFRESH_IN_PROGRESS", ""]
    assert [sandbox.ledger(account)["grants"][0]["refreshes"] for account in accounts] == [1, 1, 1, 1]
