import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from libs.clock import SystemClock
from libs.errors import UpstreamUnavailable
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.run_creation import RunCreation
from services.sync.adapters.postgres.run_rows import RunRows
from services.sync.adapters.postgres.tick_rows import TickRows
from services.sync.adapters.queue import JobQueue
from services.sync.core.scheduler import Scheduler
from services.sync.domain.cron import parse_cron
from services.sync.domain.jobs import Job
from services.sync.domain.runs import PlannedItem, Run, RunPlan, Scope
from services.sync.domain.schedules import Schedule, Tick
from services.sync.domain.subjects import Subject
from tests.sync.living_suite import LivingSuite
from tests.sync.sample_run import in_one_portion

NIGHTLY = Schedule(Job.USER, parse_cron("0 2 * * *", ZoneInfo("Europe/Berlin")))
BEFORE, TICK = datetime(2026, 11, 21, 0, 30, tzinfo=UTC), datetime(2026, 11, 21, 1, tzinfo=UTC)
FIRES = "SELECT fire_at, outcome FROM reporting.schedule_fires ORDER BY fire_at"
LOGGED = "SELECT status || ': ' || message FROM reporting.sync_logs WHERE store_code IS NULL ORDER BY id"


class SetClock(SystemClock):
    time = BEFORE

    def now(self) -> datetime:
        return self.time


@dataclass
class PlainStarter:
    """Starts runs over the given stores, or fails."""

    runs: RunCreation
    stores: tuple[str, ...] = ()
    failure: Exception | None = None

    async def start(self, scope: Scope, idempotency_key: str | None, tick: Tick | None = None) -> Run:
        if self.failure:
            raise self.failure
        await self.runs.already_started(scope, idempotency_key)
        items = in_one_portion(*(PlannedItem(job=scope.job, subject=Subject.store(code)) for code in self.stores))
        plan = RunPlan(scope=scope, idempotency_key=None, snapshot_date=date(2026, 11, 21), portions=items, tick=tick)
        return await self.runs.create(plan)


@dataclass
class Night:
    """A scheduler whose clock is set by the test, over the real rows."""

    suite: LivingSuite
    clock: SetClock
    starter: PlainStarter
    ticks: TickRows

    def scheduler(self) -> Scheduler:
        return Scheduler(schedules=(NIGHTLY,), ticks=self.ticks, starter=self.starter, clock=self.clock)

    async def at(self, time: datetime, schedule: Schedule = NIGHTLY) -> None:
        self.clock.time = time
        await self.scheduler().act_on(schedule)

    async def fires(self) -> list[tuple[datetime, str]]:
        return [tuple(row) for row in await self.suite.pool.fetch(FIRES)]

    async def runs(self) -> int:
        count: int = await self.suite.pool.fetchval("SELECT count(*) FROM reporting.sync_runs")
        return count


def scheduled(suite: LivingSuite) -> Night:
    database = Database(suite.reporting)
    runs = RunCreation(database=database, runs=RunRows(database), queue=JobQueue())
    return Night(suite, SetClock(), PlainStarter(runs), TickRows(database))


@pytest.fixture
async def night(suite: LivingSuite) -> Night:
    """A scheduler that has seen its schedule half an hour before the tick."""
    night = scheduled(suite)
    await night.at(BEFORE)
    return night


async def test_nothing_starts_before_its_time(night: Night) -> None:
    await night.at(TICK - timedelta(seconds=1))
    assert await night.runs() == 0


async def test_a_tick_starts_one_run_and_no_second(night: Night) -> None:
    for seconds in (0, 1, 600):
        await night.at(TICK + timedelta(seconds=seconds))
    assert await night.fires() == [(TICK, "STARTED")]
    assert await night.runs() == 1


async def test_of_many_replicas_at_a_tick_one_starts_the_run(night: Night) -> None:
    night.clock.time = TICK
    await asyncio.gather(*(night.scheduler().act_on(NIGHTLY) for _ in range(8)))
    assert (await night.fires(), await night.runs()) == ([(TICK, "STARTED")], 1)


async def test_a_tick_missed_by_an_hour_is_made_up_for(night: Night) -> None:
    await night.at(TICK + timedelta(hours=1))
    assert await night.fires() == [(TICK, "STARTED")]


async def test_of_several_missed_ticks_only_the_newest_is_made_up_for(night: Night) -> None:
    await night.at(TICK + timedelta(days=3, hours=1))
    assert await night.fires() == [(TICK + timedelta(days=3), "STARTED")]


async def test_a_tick_missed_by_half_a_day_is_told_and_not_made_up_for(night: Night) -> None:
    for hours in (12, 13):
        await night.at(TICK + timedelta(hours=hours))
    assert (await night.fires(), await night.runs()) == ([(TICK, "MISSED")], 0)
    lines = [row[0] for row in await night.suite.pool.fetch(LOGGED)]
    assert lines == ["SKIPPED: Skipped: nothing could start the run of 2026-11-21T01:00+00:00; start it by hand"]


async def test_a_new_schedule_makes_up_for_nothing_before_it(suite: LivingSuite) -> None:
    night = scheduled(suite)
    await night.at(TICK + timedelta(minutes=5))
    assert await night.fires() == []


async def test_a_changed_schedule_counts_from_its_change(night: Night) -> None:
    changed = Schedule(Job.USER, parse_cron("0 1 * * *", ZoneInfo("Europe/Berlin")))
    await night.at(TICK - timedelta(minutes=10), changed)
    assert await night.fires() == []


async def test_a_tick_during_a_run_of_the_same_scope_is_left_out(night: Night) -> None:
    night.starter.stores = ("shop",)
    await night.at(TICK)
    await night.at(TICK + timedelta(days=1))
    assert await night.fires() == [(TICK, "STARTED"), (TICK + timedelta(days=1), "OVERLAPPED")]
    [line] = [row[0] for row in await night.suite.pool.fetch(LOGGED)]
    assert line.endswith("of the same job is still at work")


async def test_a_tick_that_cannot_be_acted_on_is_tried_again(night: Night) -> None:
    night.starter.failure = UpstreamUnavailable()
    with pytest.raises(UpstreamUnavailable):
        await night.at(TICK)
    night.starter.failure = None
    await night.at(TICK + timedelta(seconds=15))
    assert await night.fires() == [(TICK, "STARTED")]


@pytest.mark.parametrize(
    ("day", "expected"), [("2026-03-29", "2026-03-29T01:00:00+00:00"), ("2026-10-25", "2026-10-25T00:00:00+00:00")]
)
async def test_a_day_on_which_clocks_change_has_one_run(night: Night, day: str, expected: str) -> None:
    start = datetime.fromisoformat(f"{day}T00:00:00+02:00") - timedelta(hours=1)
    await night.suite.pool.execute("UPDATE reporting.schedules SET since = '2026-01-01'")
    for minutes in range(0, 24 * 60, 15):
        await night.at(start + timedelta(minutes=minutes))
    of_the_day = [fire for fire, outcome in await night.fires() if outcome == "STARTED" and fire > start]
    assert of_the_day == [datetime.fromisoformat(expected)]
