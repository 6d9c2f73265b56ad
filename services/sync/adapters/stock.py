"""The items that this replica has at hand, and a PgQueuer that takes no more jobs from the queue than those need.

PgQueuer counts what is at work in the database, over all replicas: with that, another replica would add nothing. And it
beats for each job by itself, which costs more than many a job.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from pgqueuer.core.buffers import HeartbeatBuffer, JobStatusLogBuffer
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job as QueuedJob
from pgqueuer.domain.types import QueueEntrypoint
from pgqueuer.ports.repository import EntrypointExecutionParameter

from libs.clock import Clock
from libs.waiting import wait_at_most
from services.sync.adapters.queued_jobs import Intake

# While other kinds are at work, one whose queue was empty is looked at again after so many seconds.
DRY = 0.25
# For each place: one item has its call under way, one is before that, as many are taken meanwhile, and one ends.
AT_HAND = 4
# An end waits so long for company and for its transaction: of items whose calls are short, many are there.
ENDING = 0.4  # seconds
WINDOW = 0.5  # seconds in which items that leave are counted
NO_BEAT = timedelta(0)
HEARD_EVERY = timedelta(seconds=10)  # between looks whether notifications of the database arrive
UNLIMITED = EntrypointExecutionParameter(concurrency_limit=0)

log = structlog.get_logger()


@dataclass(frozen=True)
class Look:
    """Kinds of jobs to take from the queue at once, and how many."""

    names: Sequence[str]
    jobs: int


class Flow:
    """How many items a second leave."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._count = 0
        self._since = 0.0

    def count(self, now: float) -> None:
        """Count one that leaves."""
        self.rate(now)
        self._count += 1

    def rate(self, now: float) -> float:
        """Return how many there were a second, in a window that is over."""
        passed = now - self._since
        if passed >= WINDOW:
            self._rate, self._count, self._since = self._count / passed, 0, now
        return self._rate


class Stock:
    """Items at hand by kind of job, given what may be taken in of each."""

    def __init__(self, intakes: Mapping[str, Intake], clock: Clock) -> None:
        self._intakes = intakes
        self._clock = clock
        self._here: Counter[str] = Counter()
        self._flows = {name: Flow() for name in intakes}
        self._dry_until: dict[str, float] = {}
        self._changed = asyncio.Event()

    @property
    def names(self) -> list[str]:
        """The kinds of jobs."""
        return list(self._intakes)

    def arrive(self, name: str, items: int) -> None:
        """Count the items of a job."""
        self._here[name] += items

    def leave(self, name: str) -> None:
        """Count one item less."""
        self._here[name] -= 1
        self._flows[name].count(self._clock.monotonic())
        if self._is_low(name) or not self.is_busy:
            self._changed.set()

    def wanted(self) -> list[Look]:
        """Return what to look for; not for kinds whose queue was empty a moment ago."""
        now = self._clock.monotonic()
        low = [name for name in self._intakes if self._dry_until.get(name, 0.0) <= now and self._is_low(name)]
        looks = [Look([name], self._jobs(name)) for name in low if self._here[name]]
        # Most kinds of which there is none here have none in the queue either: one look for all of them.
        if empty := [name for name in low if not self._here[name]]:
            looks.append(Look(empty, min(map(self._jobs, empty))))
        return looks

    def note(self, look: Look, found: Sequence[str], most: int) -> None:
        """Note of which kinds there was no job; a look that found as many as it might says nothing of the others."""
        if len(found) < most:
            dry_until = self._clock.monotonic() + DRY
            self._dry_until.update(dict.fromkeys(set(look.names) - set(found), dry_until))

    @property
    def is_busy(self) -> bool:
        """True while items are here."""
        return self._here.total() > 0

    async def change(self) -> None:
        """Wait until a kind runs low, at most until an empty queue is worth another look."""
        self._changed.clear()
        await wait_at_most(self._changed, DRY)

    def _jobs(self, name: str) -> int:
        """Return for how many jobs there is room; one that brings many items may bring more than there is room for."""
        return max((self._most(name) - self._here[name]) // self._intakes[name].items, 1)

    def _is_low(self, name: str) -> bool:
        """Few looks for many jobs: half of what may be here is not."""
        return self._here[name] <= self._most(name) // 2

    def _most(self, name: str) -> int:
        rate = self._flows[name].rate(self._clock.monotonic())
        return AT_HAND * self._intakes[name].places + int(ENDING * rate)


class StockedQueueManager(QueueManager):
    """PgQueuer's manager, taking jobs as the stock runs low, with one beat for all of them."""

    stock: Stock

    async def fetch_jobs(
        self, batch_size: int, global_concurrency_limit: int | None, heartbeat_timeout: timedelta
    ) -> AsyncGenerator[QueuedJob, None]:
        """Yield jobs until there is none to take and none at work."""
        while not self.shutdown.is_set():
            # The jobs of the last batch are counted once their tasks have begun.
            await asyncio.sleep(0)
            found = False
            for look in self.stock.wanted():
                most = min(look.jobs, batch_size)
                for job in await self._take(look, most, global_concurrency_limit, heartbeat_timeout):
                    found = True
                    yield job
            if not found:
                if not self.stock.is_busy:
                    return
                await self.stock.change()

    async def beat(self, every: timedelta) -> None:
        """Say of all jobs at hand that they are worked on, again and again; what fails is made up for by the next."""
        while True:
            await asyncio.sleep(every.total_seconds())
            try:
                if self.job_context:
                    await self.queries.update_heartbeat(list(self.job_context))
            except Exception as error:  # noqa: BLE001 - PgQueuer raises whatever its connection raised
                log.warning("The queue could not be told what is worked on", error=type(error).__name__)

    async def _run_periodic_health_check(self, interval: timedelta = HEARD_EVERY) -> None:
        """Look whether notifications arrive; not at once, as PgQueuer would: that can be before it listens to any."""
        await wait_at_most(self.shutdown, interval.total_seconds())
        await super()._run_periodic_health_check(interval)

    def _dispatch(
        self, job: QueuedJob, jbuff: JobStatusLogBuffer, hbuff: HeartbeatBuffer, _each: timedelta
    ) -> Coroutine[Any, Any, None]:
        return super()._dispatch(job, jbuff, hbuff, NO_BEAT)

    async def _take(
        self, look: Look, most: int, global_concurrency_limit: int | None, heartbeat_timeout: timedelta
    ) -> list[QueuedJob]:
        jobs = await self.queries.dequeue(
            batch_size=most,
            entrypoints={QueueEntrypoint(name): UNLIMITED for name in look.names},
            queue_manager_id=self.queue_manager_id,
            global_concurrency_limit=global_concurrency_limit,
            heartbeat_timeout=heartbeat_timeout,
        )
        self.stock.note(look, [job.entrypoint for job in jobs], most)
        return jobs
