import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from libs.clock import SystemClock
from libs.errors import StorageUnavailable
from services.sync.adapters.budget import SharedBudget
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.slot_log import EndedCall, Grant, SlotLog, Wanted
from services.sync.domain.rate_limit import Lane, RateLimit
from tests.sync.living_suite import LivingSuite

HELD = "SELECT coalesce(sum(calls), 0) FROM reporting.upstream_slots WHERE taken_until > clock_timestamp()"
ENDPOINT = "video/list"


def log_of(suite: LivingSuite, limit: RateLimit) -> SlotLog:
    return SlotLog(database=Database(suite.reporting), limit=limit)


@asynccontextmanager
async def budget(suite: LivingSuite, limit: RateLimit) -> AsyncIterator[SharedBudget]:
    shared = SharedBudget(log=log_of(suite, limit), clock=SystemClock())
    try:
        yield shared
    finally:
        await shared.close()


async def take(log: SlotLog, bulk: int = 0, interactive: int = 0, ended: Sequence[EndedCall] = ()) -> Grant:
    return await log.take(ENDPOINT, Wanted(interactive=interactive, bulk=bulk), ended)


class CountingLog:
    """A log of slots that counts how often it is asked."""

    def __init__(self, log: SlotLog) -> None:
        self._log = log
        self.limit = log.limit
        self.asked = 0

    async def take(self, endpoint: str, wanted: Wanted, ended: Sequence[EndedCall]) -> Grant:
        self.asked += 1
        return await self._log.take(endpoint, wanted, ended)

    async def slow_down(self, endpoint: str, seconds: float) -> None:
        await self._log.slow_down(endpoint, seconds)


async def call(shared: SharedBudget, seen: list[float], seconds: float = 0.0, lane: Lane = Lane.BULK) -> None:
    """Make a call that reaches TikTok at some time between its slot and its end."""
    async with shared.slot(ENDPOINT, lane):
        await asyncio.sleep(seconds)
        seen.append(asyncio.get_running_loop().time())


def fullest(seen: list[float], window: float) -> int:
    """Return the most calls that any window saw."""
    ordered = sorted(seen)
    return max(sum(start <= moment < start + window for moment in ordered) for start in ordered)


async def test_no_window_sees_more_than_the_limit(suite: LivingSuite) -> None:
    limit = RateLimit(calls=20, window=0.5, interactive_share=0)
    seen: list[float] = []
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(budget(suite, limit)) for _ in range(3)]
        # Calls that are slow on their way come close to those of the next window.
        late = (0.0, 0.3, 0.01, 0.15)
        await asyncio.gather(*(call(replicas[n % 3], seen, seconds=late[n % 4]) for n in range(90)))
    assert len(seen) == 90
    assert fullest(seen, limit.window) <= limit.calls


async def test_a_window_is_filled_at_once(suite: LivingSuite) -> None:
    async with budget(suite, RateLimit(calls=600)) as shared, asyncio.timeout(20):
        await asyncio.gather(*(call(shared, []) for _ in range(570)))
    assert await suite.pool.fetchval(HELD) == 570


async def test_who_comes_while_slots_are_asked_for_is_next(suite: LivingSuite) -> None:
    async with budget(suite, RateLimit()) as shared, asyncio.timeout(2):
        first = asyncio.create_task(call(shared, []))
        await asyncio.sleep(0)
        await asyncio.gather(first, *(call(shared, []) for _ in range(5)))


async def test_a_restart_finds_the_window_as_it_was(suite: LivingSuite) -> None:
    limit = RateLimit(calls=5, interactive_share=0)
    async with budget(suite, limit) as before:
        await asyncio.gather(*(call(before, []) for _ in range(5)))
    grant = await take(log_of(suite, limit), bulk=1)
    assert grant.bulk == 0
    assert 58 < grant.free_in < 60.5


async def test_a_slot_nobody_gives_back_counts(suite: LivingSuite) -> None:
    log = log_of(suite, RateLimit(calls=5, interactive_share=0))
    assert (await take(log, bulk=9)).bulk == 5
    grant = await take(log, bulk=1)
    # A dead process may have sent its calls until their deadline; then a window must pass.
    assert (grant.bulk, grant.free_in > 90) == (0, True)


async def test_a_slot_clears_a_window_after_its_call_ended(suite: LivingSuite) -> None:
    log = log_of(suite, RateLimit(calls=1, interactive_share=0))
    taken = await take(log, bulk=1)
    ended = EndedCall(held_until=taken.held_until, seconds_ago=50.0)
    grant = await take(log, bulk=1, ended=[ended])
    assert 10 <= grant.free_in < 10.5


async def test_a_share_is_kept_for_people(suite: LivingSuite) -> None:
    log = log_of(suite, RateLimit(calls=20, interactive_share=0.1))
    assert (await take(log, bulk=100)).bulk == 18
    grant = await take(log, bulk=5, interactive=5)
    assert (grant.interactive, grant.bulk) == (2, 0)


async def test_a_person_does_not_wait_behind_a_run(suite: LivingSuite) -> None:
    async with budget(suite, RateLimit(calls=20)) as shared:
        crowd = [asyncio.create_task(call(shared, [])) for _ in range(100)]
        await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            await call(shared, [], lane=Lane.INTERACTIVE)
        assert sum(task.done() for task in crowd) == 19
        for task in crowd:
            task.cancel()


async def test_endpoints_do_not_share_slots(suite: LivingSuite) -> None:
    log = log_of(suite, RateLimit(calls=1))
    wanted = Wanted(interactive=0, bulk=1)
    assert [(await log.take(endpoint, wanted, ())).bulk for endpoint in ("user/info", "video/list")] == [1, 1]


async def test_a_429_stops_the_endpoint_for_a_while(suite: LivingSuite) -> None:
    log = log_of(suite, RateLimit(calls=100, interactive_share=0))
    await log.slow_down(ENDPOINT, 30)
    grant = await take(log, bulk=1, interactive=1)
    assert (grant.bulk, grant.interactive) == (0, 0)
    assert 29 < grant.free_in <= 30


async def test_a_429_makes_the_windows_after_it_smaller(suite: LivingSuite) -> None:
    log = log_of(suite, RateLimit(calls=100, interactive_share=0))
    await log.slow_down(ENDPOINT, 0.5)
    # What was under way tells nothing new.
    await log.slow_down(ENDPOINT, 0.5)
    await asyncio.sleep(0.6)
    assert 80 <= (await take(log, bulk=200)).bulk <= 82
    await suite.pool.execute("UPDATE reporting.upstream_budgets SET slowed_at = now() - interval '10 minutes'")
    assert (await take(log, bulk=200)).bulk >= 18


async def test_a_clock_set_back_blocks_nothing_for_long(suite: LivingSuite) -> None:
    log = log_of(suite, RateLimit(calls=5, interactive_share=0))
    await take(log, bulk=5)
    await suite.pool.execute("UPDATE reporting.upstream_slots SET taken_until = taken_until + interval '1 day'")
    assert (await take(log, bulk=5)).bulk == 5


async def test_a_slot_whose_call_was_never_made_is_free_at_once(suite: LivingSuite) -> None:
    log = log_of(suite, RateLimit(calls=1, interactive_share=0))
    taken = await take(log, bulk=1)
    assert (await take(log, bulk=1, ended=[EndedCall(held_until=taken.held_until, seconds_ago=None)])).bulk == 1


async def test_calls_one_behind_the_other_share_round_trips(suite: LivingSuite) -> None:
    log = CountingLog(log_of(suite, RateLimit()))
    async with AsyncExitStack() as stack:
        shared = SharedBudget(log=log, clock=SystemClock())
        stack.push_async_callback(shared.close)
        for _ in range(20):
            await asyncio.gather(*(call(shared, []) for _ in range(10)))
        assert log.asked < 15


async def test_slots_taken_ahead_of_no_call_are_given_back(suite: LivingSuite) -> None:
    async with budget(suite, RateLimit(window=10)) as shared:
        for _ in range(8):
            await asyncio.gather(*(call(shared, []) for _ in range(10)))
        await asyncio.sleep(2)
        assert await suite.pool.fetchval(HELD) == 80


async def test_a_429_leaves_no_slot_that_was_taken_ahead(suite: LivingSuite) -> None:
    async with budget(suite, RateLimit()) as shared:
        for _ in range(8):
            await asyncio.gather(*(call(shared, []) for _ in range(10)))
        await shared.slow_down(ENDPOINT, 30)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await call(shared, [])


async def test_a_cancelled_wait_takes_no_slot_from_others(suite: LivingSuite) -> None:
    async with budget(suite, RateLimit(calls=2, window=0.5, interactive_share=0)) as shared:
        seen: list[float] = []
        waiting = [asyncio.create_task(call(shared, seen)) for _ in range(8)]
        await asyncio.sleep(0.1)
        for task in waiting[2:6]:
            task.cancel()
        async with asyncio.timeout(3):
            await asyncio.gather(*waiting[:2], *waiting[6:])
    assert len(seen) == 4


async def test_a_database_that_is_away_is_told_to_who_waits(suite: LivingSuite) -> None:
    async with budget(suite, RateLimit()) as shared:
        await suite.pool.execute("ALTER FUNCTION reporting.take_upstream_slots RENAME TO hidden")
        await suite.pool.execute(
            "CREATE FUNCTION reporting.take_upstream_slots(text, text, bigint, bigint, bigint, bigint, float8, float8,"
            " float8, float8, timestamptz[], float8[]) RETURNS text LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57P01'; END $$"
        )
        with pytest.raises(StorageUnavailable):
            await call(shared, [])
        await suite.pool.execute("DROP FUNCTION reporting.take_upstream_slots")
        await suite.pool.execute("ALTER FUNCTION reporting.hidden RENAME TO take_upstream_slots")
        await call(shared, [])
