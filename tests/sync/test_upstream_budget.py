import asyncio
from datetime import datetime, timedelta

from libs.clock import SystemClock
from services.sync.adapters.postgres.budget import APP, SharedBudget
from services.sync.adapters.postgres.database import Database
from tests.sync.living_suite import LivingSuite

NEXT_SLOT = "SELECT next_slot FROM reporting.upstream_budgets WHERE endpoint = $1"


class UnhurriedClock(SystemClock):
    """Keeps how long it was asked to sleep and sleeps not at all."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def budget(suite: LivingSuite, clock: UnhurriedClock, *, calls_per_minute: int = 600) -> SharedBudget:
    return SharedBudget(database=Database(suite.reporting), clock=clock, calls_per_minute=calls_per_minute)


async def test_slots_are_evenly_spaced_over_all_replicas(suite: LivingSuite) -> None:
    clock = UnhurriedClock()
    replicas = [budget(suite, clock) for _ in range(3)]
    await replicas[0].acquire("video/list")
    first: datetime = await suite.pool.fetchval(NEXT_SLOT, "video/list")
    await asyncio.gather(*(replica.acquire("video/list") for replica in replicas for _ in range(10)))
    last: datetime = await suite.pool.fetchval(NEXT_SLOT, "video/list")
    spacing = (last - first) / 30
    # 2 % below 600 a minute.
    assert abs(spacing.total_seconds() - 60 / 588) < 1e-5


async def test_a_slot_is_waited_for(suite: LivingSuite) -> None:
    clock = UnhurriedClock()
    paced = budget(suite, clock, calls_per_minute=6)
    for _ in range(3):
        await paced.acquire("user/info")
    assert len(clock.slept) == 2
    assert 9 < clock.slept[0] < 10.3
    assert 19 < clock.slept[1] < 20.5


async def test_an_idle_time_earns_no_burst(suite: LivingSuite) -> None:
    clock = UnhurriedClock()
    paced = budget(suite, clock, calls_per_minute=6)
    await paced.acquire("user/info")
    await suite.pool.execute("UPDATE reporting.upstream_budgets SET next_slot = now() - interval '1 hour'")
    await paced.acquire("user/info")
    await paced.acquire("user/info")
    assert len(clock.slept) == 1
    assert clock.slept[0] > 9


async def test_endpoints_do_not_share_slots(suite: LivingSuite) -> None:
    clock = UnhurriedClock()
    paced = budget(suite, clock, calls_per_minute=1)
    await paced.acquire("user/info")
    await paced.acquire("video/list")
    assert clock.slept == []


async def test_a_429_moves_the_next_slot_away(suite: LivingSuite) -> None:
    clock = UnhurriedClock()
    paced = budget(suite, clock)
    await paced.acquire("user/info")
    await paced.slow_down("user/info", 30)
    await paced.acquire("user/info")
    assert clock.slept[-1] > 29
    later = await suite.pool.fetchval("SELECT next_slot - now() FROM reporting.upstream_budgets WHERE app = $1", APP)
    assert later > timedelta(seconds=29)
