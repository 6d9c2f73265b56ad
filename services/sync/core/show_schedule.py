"""The schedules are shown, and their jobs started by hand."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from libs.clock import Clock
from services.sync.domain.runs import PlannedItem, Run, Scope
from services.sync.domain.schedules import Schedule, Timetable


class ActiveRuns(Protocol):
    """Knows which runs are active."""

    async def active(self, scope: Scope) -> Run | None:
        """Return the run of this scope that has not ended."""
        ...


class Fires(Protocol):
    """Knows when schedules last started a run."""

    async def newest_start(self, schedule: str) -> datetime | None:
        """Return the newest tick at which a run began."""
        ...


class Starter(Protocol):
    """Starts runs."""

    async def start(self, scope: Scope, idempotency_key: str | None) -> Run:
        """Return the run; RunAlreadyActive."""
        ...


class Planner(Protocol):
    """Tells what a run would do."""

    def plan(self, scope: Scope) -> AsyncIterator[tuple[PlannedItem, ...]]:
        """Yield the items that a run of the scope would have now, in portions of whole subjects."""
        ...


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A schedule as it stands; next_run is None while nothing runs by itself."""

    schedule: Schedule
    next_run: datetime | None
    last_run: datetime | None
    active_run: str | None


@dataclass(frozen=True)
class Preview:
    """What a run would do: stores it would work on, and stores it would skip."""

    total: int
    skipped: int


class ScheduleDesk:
    """Shows schedules, and starts their jobs at once when somebody asks."""

    def __init__(
        self, *, timetable: Timetable, runs: ActiveRuns, fires: Fires, starting: tuple[Starter, Planner], clock: Clock
    ) -> None:
        self.timetable = timetable
        self._runs = runs
        self._fires = fires
        self._starter, self._planner = starting
        self._clock = clock

    async def entries(self) -> tuple[Entry, ...]:
        """Return every schedule as it stands."""
        return tuple([await self._entry(schedule) for schedule in self.timetable.schedules])

    async def run_now(self, name: str) -> Run:
        """Start a schedule's job as if its time had come; InvalidField, RunAlreadyActive."""
        return await self._starter.start(Scope(self.timetable.named(name).job, None), None)

    async def preview(self, name: str) -> Preview:
        """Return what run_now would do, and do nothing; InvalidField."""
        total = skipped = 0
        async for items in self._planner.plan(Scope(self.timetable.named(name).job, None)):
            total += len({item.subject for item in items})
            skipped += len({item.subject for item in items if item.ending})
        return Preview(total, skipped)

    async def _entry(self, schedule: Schedule) -> Entry:
        active = await self._runs.active(Scope(schedule.job, None))
        return Entry(
            schedule=schedule,
            next_run=schedule.cron.next_after(self._clock.now()) if self.timetable.enabled else None,
            last_run=await self._fires.newest_start(schedule.name),
            active_run=active.id if active else None,
        )
