"""What has to be done again and again: lost work is found, room for snapshots is made, pool figures are told."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Protocol

import structlog

from libs.clock import Clock
from libs.errors import StorageUnavailable
from services.sync.core.calendar import Calendar

PAUSES = 50  # a task is at work for a fiftieth of the time at most
log = structlog.get_logger()


class Orphans(Protocol):
    """Open items, and the jobs they should have."""

    async def requeue(self) -> int:
        """Give every open item without a job a new one; return how many had none."""
        ...

    async def prune_log(self) -> None:
        """Delete what the queue noted long ago."""
        ...


class Partitions(Protocol):
    """Room for the snapshots of a day."""

    async def prepare(self, day: date) -> None:
        """Make sure that the months around the day have partitions."""
        ...


class Upkeep:
    """The periodic tasks; each may run in every replica at once."""

    def __init__(self, *, orphans: Orphans, partitions: Partitions, calendar: Calendar) -> None:
        self._orphans = orphans
        self._partitions = partitions
        self._calendar = calendar

    async def requeue_orphans(self) -> None:
        """Find work that nobody would do."""
        found = await self._orphans.requeue()
        if found:
            log.warning("Items without a job were queued again", items=found)

    async def prune_queue_log(self) -> None:
        """Keep the queue's own log short."""
        await self._orphans.prune_log()

    async def prepare_partitions(self) -> None:
        """Make room for this month and the next ones."""
        await self._partitions.prepare(self._calendar.today())


async def repeat(task: Callable[[], Awaitable[None]], *, every: float, clock: Clock) -> None:
    """Carry the task out every so many seconds, for ever; whatever fails is tried again the next time.

    One that takes long is carried out less often: the looks at a run over very many stores must not cost as much as
    the run.
    """
    while True:
        began = clock.monotonic()
        try:
            await task()
        except StorageUnavailable as error:
            log.warning("Upkeep was put off", task=task.__qualname__, error=error.message)
        except Exception:
            log.exception("Upkeep failed", task=task.__qualname__)
        await clock.sleep(max(every, PAUSES * (clock.monotonic() - began)))
