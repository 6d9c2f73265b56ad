import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from libs.database.embedded import EmbeddedPostgres
from libs.errors import RateLimited, ServerMisconfig, StorageUnavailable
from libs.secret import Secret
from services.gateway import database as gateway_database
from services.gateway.database import Database, Keeper
from services.gateway.limit_rows import LimitRows
from services.gateway.limits import FailureLockouts, LockoutRule, MinuteBudget
from services.gateway.shared_limits import SharedBudget, SharedLockouts, SharedRule, Verdict
from services.gateway.sharing import Sharing
from tests.faults.servers import crash
from tests.gateway.served import ShiftedClock

RULE = LockoutRule(max_failures=5, block_seconds=900)


@dataclass
class Replica:
    """The limits of one gateway, ten requests a minute, of which two if it is alone."""

    database: Database
    rows: LimitRows
    budget: SharedBudget
    lockouts: SharedLockouts
    clock: ShiftedClock
    registry: CollectorRegistry

    async def asked(self, times: int) -> list[str]:
        results = await asyncio.gather(*(self.budget.spend("a") for _ in range(times)), return_exceptions=True)
        return [type(result).__name__ for result in results]

    async def passed(self, times: int) -> int:
        return (await self.asked(times)).count("Allowance")

    async def failed(self, times: int) -> int:
        return len(await self.failures(times))

    async def failures(self, times: int) -> list[bool]:
        """Of each failure that was counted, whether it blocks."""
        calls = (self.lockouts.count_failure("a") for _ in range(times))
        results = await asyncio.gather(*calls, return_exceptions=True)
        return [result for result in results if isinstance(result, bool)]

    def is_shared(self) -> float | None:
        return self.registry.get_sample_value("tokhub_limits_shared")


@asynccontextmanager
async def replica(dsn: str, *unlocked: str) -> AsyncIterator[Replica]:
    clock, registry = ShiftedClock(), CollectorRegistry()
    database = Database(Sharing(clock=clock, registry=registry))
    rows = LimitRows(database)
    budget = SharedBudget(
        rule=SharedRule(name="admin", most=10),
        take=rows.spend_unless_blocked,
        local=MinuteBudget(clock=clock, per_minute=2),
        clock=clock,
    )
    local = FailureLockouts(clock=clock, rule=RULE)
    lockouts = SharedLockouts(rule=RULE, rows=rows, local=local, share=RULE.max_failures, clock=clock)
    prune, begin = [partial(rows.prune, RULE)], [partial(rows.unlock, unlocked)]
    keeper = Keeper(database=database, dsn=Secret(dsn), prune=prune, clock=clock, begin=begin)
    async with keeper.keeping():
        yield Replica(database, rows, budget, lockouts, clock, registry)


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def backends(dsn: str) -> list[int]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'tokhub-gateway'")
        return [row["pid"] for row in rows]
    finally:
        await connection.close()


async def value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.fixture
def own_server() -> Iterator[EmbeddedPostgres]:
    """A durable server that a test may crash."""
    directory = Path(tempfile.mkdtemp(prefix="tokhub-test-", dir="/tmp"))
    directory.chmod(0o711)
    try:
        with EmbeddedPostgres(directory / "postgres") as server:
            yield server
    finally:
        shutil.rmtree(directory)


async def test_replicas_spend_one_budget(database_dsn: str) -> None:
    async with replica(database_dsn) as one, replica(database_dsn) as other:
        passed = await asyncio.gather(one.passed(30), other.passed(30))

    assert sum(passed) == 10


async def test_a_window_forgets_what_has_left_it(database_dsn: str) -> None:
    async with replica(database_dsn) as one:
        first = await one.passed(6)
        await execute(database_dsn, "UPDATE gateway.spent SET clears_at = clears_at - interval '40 s'")
        second = await one.passed(6)
        await execute(database_dsn, "UPDATE gateway.spent SET clears_at = clears_at - interval '21 s'")
        one.clock.shift = 60
        third = await one.passed(20)

    assert [first, second, third] == [6, 4, 6]


async def test_a_row_from_a_clock_that_was_set_back_blocks_nobody(database_dsn: str) -> None:
    async with replica(database_dsn) as one:
        await one.passed(10)
        await execute(database_dsn, "UPDATE gateway.spent SET clears_at = clears_at + interval '1 day'")
        one.clock.shift = 61

        assert await one.passed(1) == 1


async def test_a_flood_of_one_address_is_few_statements() -> None:
    statements: list[int] = []

    async def take(_rule: SharedRule, _address: str, wanted: int) -> Verdict:
        statements.append(wanted)
        await asyncio.sleep(0)
        return Verdict(granted=min(wanted, 10), remaining=0, more_in=60)

    clock = ShiftedClock()
    rule, local = SharedRule(name="admin", most=10), MinuteBudget(clock=clock, per_minute=2)
    budget = SharedBudget(rule=rule, take=take, local=local, clock=clock)
    for _ in range(3):
        await asyncio.gather(*(budget.spend("a") for _ in range(500)), return_exceptions=True)

    assert statements == [500]


async def test_a_right_key_writes_nothing_about_lockouts(database_dsn: str) -> None:
    async with replica(database_dsn) as one:
        await one.passed(5)

    assert await value(database_dsn, "SELECT count(*) FROM gateway.lockouts") == 0


async def test_failures_at_two_replicas_are_added_up(database_dsn: str) -> None:
    async with replica(database_dsn) as one, replica(database_dsn) as other:
        failed = await asyncio.gather(one.failures(100), other.failures(100))
        blocked = [await each.asked(1) for each in (one, other)]

    assert sorted(failed[0] + failed[1]) == [False] * 4 + [True]
    assert blocked == [["LockedOut"], ["LockedOut"]]


async def test_failures_long_ago_are_forgotten_one_by_one(database_dsn: str) -> None:
    async with replica(database_dsn) as one, replica(database_dsn) as other:
        await one.failed(4)
        await execute(
            database_dsn,
            "UPDATE gateway.lockouts SET failures[1] = failures[1] - interval '901 s', "
            "failures[2] = failures[2] - interval '901 s'",
        )
        assert await other.failed(10) == 3


async def test_a_block_ends_and_starts_from_nothing(database_dsn: str) -> None:
    async with replica(database_dsn) as one, replica(database_dsn) as other:
        await one.failed(5)
        await execute(database_dsn, "UPDATE gateway.lockouts SET blocked_until = blocked_until - interval '901 s'")

        assert await other.asked(1) == ["Allowance"]
        assert await other.failed(10) == 5


async def test_a_start_lets_in_the_addresses_it_is_told_and_no_other(database_dsn: str) -> None:
    async with replica(database_dsn) as one:
        await one.failed(5)
    async with replica(database_dsn, "b") as another:
        assert await another.asked(1) == ["LockedOut"]
    async with replica(database_dsn, "b", "a") as last:
        assert await last.asked(1) == ["Allowance"]
        assert await last.failed(10) == 5


async def test_what_no_longer_counts_is_deleted(database_dsn: str) -> None:
    async with replica(database_dsn) as one:
        await one.passed(3)
        await one.failed(1)
        await one.rows.prune(RULE)
        before = await value(database_dsn, "SELECT count(*) FROM gateway.spent")
        await execute(
            database_dsn,
            "UPDATE gateway.spent SET clears_at = clears_at - interval '1 h'",
            "UPDATE gateway.lockouts SET failures[1] = failures[1] - interval '1 h'",
        )
        await one.rows.prune(RULE)

    assert before
    assert await value(database_dsn, "SELECT count(*) FROM gateway.spent") == 0
    assert await value(database_dsn, "SELECT count(*) FROM gateway.lockouts") == 0


async def test_a_crash_of_the_database_forgets_limits_and_no_lockout(own_server: EmbeddedPostgres) -> None:
    async with replica(own_server.dsn()) as one:
        spent = await one.passed(20)
        failed = await one.failed(20)
    await crash(own_server)
    await asyncio.to_thread(own_server.start)
    dsn = own_server.dsn()
    assert await value(dsn, "SELECT count(*) FROM gateway.spent") == 0
    async with replica(dsn) as one:
        blocked = await one.asked(1)
        await execute(dsn, "DELETE FROM gateway.lockouts")
        one.clock.shift = 901
        again = await one.passed(20)

    assert (spent, failed, blocked, again) == (10, 5, ["LockedOut"], 10)


async def test_a_gateway_finds_a_database_that_comes_later_and_after_a_crash(
    own_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_database, "OPEN_EVERY", 0.1)
    dsn = own_server.dsn()
    await asyncio.to_thread(own_server.stop)
    async with replica(dsn) as one:
        alone = await one.passed(5)
        await asyncio.to_thread(own_server.start)
        await until_shared(one)
        found = await one.passed(9)
        await crash(own_server)
        one.clock.shift += 61
        alone_again = await one.passed(5)
        await asyncio.to_thread(own_server.start)
        await until_shared(one)
        one.clock.shift += 61

        assert (alone, found, alone_again) == (2, 9, 2)
        assert await one.passed(20) == 10


async def until_shared(one: Replica) -> None:
    """Ask of another address until the answer comes from the rows."""
    async with asyncio.timeout(60):
        while not (one.database.is_open and one.is_shared()):
            one.clock.shift += 2
            await asyncio.sleep(0.1)
            with suppress(RateLimited):
                await one.budget.spend("b")


async def test_a_database_that_falls_silent_is_told_once_and_used_again(database_dsn: str) -> None:
    async with replica(database_dsn) as one:
        await one.passed(1)
        silent = await backends(database_dsn)
        for pid in silent:
            os.kill(pid, signal.SIGSTOP)
        try:
            with capture_logs() as lines:
                alone = [await one.passed(5), await one.passed(5), await one.failed(9)]
                shared_then = one.is_shared()
        finally:
            for pid in silent:
                os.kill(pid, signal.SIGCONT)
        one.clock.shift = 61
        with capture_logs() as later:
            back = await one.passed(20)

    assert alone == [1, 0, 5]
    assert [line["log_level"] for line in lines] == ["warning"]
    assert (shared_then, one.is_shared()) == (0, 1)
    # What was asked of the silent session may have been carried out after all.
    assert back in {4, 9}
    assert [line["event"] for line in later] == ["limits and lockouts are shared again"]


async def test_a_right_that_is_taken_away_closes_no_door(database_dsn: str) -> None:
    async with replica(database_dsn) as one:
        await execute(database_dsn, "ALTER FUNCTION gateway.spend_unless_blocked RENAME TO gone")

        assert await one.passed(5) == 2


async def test_a_newer_schema_stops_the_start(database_dsn: str) -> None:
    async with replica(database_dsn):
        await execute(database_dsn, "UPDATE gateway.alembic_version SET version_num = '9999'")

    with pytest.raises(ServerMisconfig):
        async with replica(database_dsn):
            pass


async def test_what_could_not_be_begun_is_begun_again(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_database, "OPEN_EVERY", 0.1)
    clock, begun = ShiftedClock(), asyncio.Event()
    database = Database(Sharing(clock=clock, registry=CollectorRegistry()))
    open_at: list[bool] = []

    async def begin() -> None:
        open_at.append(database.is_open)
        if len(open_at) == 1:
            raise StorageUnavailable
        begun.set()

    async with Keeper(database=database, dsn=Secret(database_dsn), prune=[], clock=clock, begin=[begin]).keeping():
        await asyncio.wait_for(begun.wait(), 30)

    assert open_at == [True, True]


async def test_a_schema_that_cannot_be_used_is_looked_at_again(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_database, "OPEN_EVERY", 0.1)
    clock, begun = ShiftedClock(), asyncio.Event()
    database = Database(Sharing(clock=clock, registry=CollectorRegistry()))
    broken = "ALTER TABLE gateway.alembic_version RENAME TO elsewhere"
    mended = "DROP TABLE IF EXISTS gateway.alembic_version", "ALTER TABLE gateway.elsewhere RENAME TO alembic_version"

    async def begin() -> None:
        if not told:
            await execute(database_dsn, broken)
            raise StorageUnavailable
        begun.set()

    with capture_logs() as told:
        async with Keeper(database=database, dsn=Secret(database_dsn), prune=[], clock=clock, begin=[begin]).keeping():
            async with asyncio.timeout(30):
                while not told:
                    await clock.sleep(0.05)
                await execute(database_dsn, *mended)
                await begun.wait()

    assert {line["event"] for line in told} == {"what gateways share cannot be looked after"}
