"""Runs begin by themselves: each tick of a schedule starts one run, or says in the log why it does not.

Every replica looks at every tick; the first one settles it in the transaction that stores the run. A tick that is
noticed late, because nothing served or a dependency was down, is made up for within CATCH_UP, and only the newest one.
"""

from datetime import datetime
from typing import Protocol

import structlog

from libs.clock import Clock
from libs.errors import RunAlreadyActive, TokhubError
from services.sync.domain import wording
from services.sync.domain.runs import Run, Scope
from services.sync.domain.schedules import CATCH_UP, Schedule, Tick, TickOutcome, TickTaken

LOOK_EVERY = 15.0  # seconds at most: a clock may be set, a machine may sleep, and what failed is tried again
log = structlog.get_logger()


class Ticks(Protocol):
    """Where ticks are settled."""

    async def seen(self, schedule: Schedule, now: datetime) -> datetime:
        """Return since when the schedule has been as it is; since now when it is new or was changed."""
        ...

    async def is_settled(self, tick: Tick) -> bool:
        """Return whether somebody has acted on the tick."""
        ...

    async def settle(self, tick: Tick, outcome: TickOutcome, message: str, run_id: str | None) -> None:
        """Note that no run begins at the tick, in the sync log too; TickTaken."""
        ...


class Starter(Protocol):
    """Starts runs."""

    async def start(self, scope: Scope, idempotency_key: str | None, tick: Tick | None = None) -> Run:
        """Return the run; RunAlreadyActive, TickTaken."""
        ...


class Scheduler:
    """Acts on the ticks of schedules."""

    def __init__(self, *, schedules: tuple[Schedule, ...], ticks: Ticks, starter: Starter, clock: Clock) -> None:
        self._schedules = schedules
        self._ticks = ticks
        self._starter = starter
        self._clock = clock

    async def run(self) -> None:
        """Act on ticks as they come, for ever."""
        while True:
            for schedule in self._schedules:
                await self._look(schedule)
            await self._clock.sleep(self._pause())

    async def act_on(self, schedule: Schedule) -> None:
        """Act on the newest tick of a schedule unless somebody has; TokhubError when it cannot be done now."""
        now = self._clock.now()
        since = await self._ticks.seen(schedule, now)
        tick = Tick(schedule.name, schedule.cron.last_until(now))
        if tick.fire_at <= since or await self._ticks.is_settled(tick):
            return
        try:
            if now - tick.fire_at > CATCH_UP:
                await self._ticks.settle(tick, TickOutcome.MISSED, wording.tick_missed(tick.fire_at), None)
                log.warning("A scheduled run was missed", schedule=schedule.name, fire_at=tick.fire_at.isoformat())
            else:
                await self._start(schedule, tick)
        except TickTaken:
            return

    async def _start(self, schedule: Schedule, tick: Tick) -> None:
        fire_at = tick.fire_at.isoformat()
        try:
            run = await self._starter.start(Scope(schedule.job, None), None, tick)
        except RunAlreadyActive as active:
            run_id = active.metadata.get("run_id", "")
            await self._ticks.settle(tick, TickOutcome.OVERLAPPED, wording.tick_overlapped(run_id), run_id or None)
            log.warning("A scheduled run was left out", schedule=schedule.name, fire_at=fire_at, active_run=run_id)
        else:
            log.info("Scheduled run started", schedule=schedule.name, fire_at=fire_at, run_id=run.id)

    async def _look(self, schedule: Schedule) -> None:
        try:
            await self.act_on(schedule)
        except TokhubError as error:
            log.warning("A schedule was not looked after", schedule=schedule.name, error=error.message)
        except Exception:
            log.exception("A schedule was not looked after", schedule=schedule.name)

    def _pause(self) -> float:
        now = self._clock.now()
        waits = [(schedule.cron.next_after(now) - now).total_seconds() for schedule in self._schedules]
        return min([LOOK_EVERY, *waits])
