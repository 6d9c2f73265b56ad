"""How many jobs of a kind this replica works on, and a PgQueuer that takes no more than that from the queue.

PgQueuer counts what is at work in the database, over all replicas: with that, another replica would add nothing. And
while all places are taken it looks for one ten times a second; here a place that becomes free is filled at once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job as QueuedJob
from pgqueuer.domain.types import QueueEntrypoint
from pgqueuer.ports.repository import EntrypointExecutionParameter

# While other kinds are at work, one whose queue was empty is looked at again after so many seconds.
DRY = 0.25
# Jobs that wait in this process for their place, so that none stays empty for the time of a look into the queue.
MOST_SPARE = 25


class Places:
    """Places by kind of job; some jobs more may wait for one."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._turns = {name: asyncio.Semaphore(limit) for name, limit in limits.items()}
        self._here: Counter[str] = Counter()
        self._dry_until: dict[str, float] = {}
        self._changed = asyncio.Event()

    @property
    def names(self) -> list[str]:
        """The kinds of jobs."""
        return list(self._limits)

    @asynccontextmanager
    async def take(self, name: str) -> AsyncIterator[None]:
        """Wait for a place and hold it while the context is open."""
        self._here[name] += 1
        try:
            async with self._turns[name]:
                yield
        finally:
            self._here[name] -= 1
            self._changed.set()

    def open(self) -> dict[str, int]:
        """Return how many jobs of which kinds to look for; not those whose queue was empty a moment ago."""
        now = asyncio.get_running_loop().time()
        rooms = {name: self._room(name) for name in self._limits if self._dry_until.get(name, 0.0) <= now}
        # Few looks for many jobs: half of the spare ones are gone before there are new ones.
        return {name: room for name, room in rooms.items() if room > self._spare(name) // 2}

    def note_dry(self, name: str) -> None:
        """Note that there was no job of this kind."""
        self._dry_until[name] = asyncio.get_running_loop().time() + DRY

    @property
    def is_busy(self) -> bool:
        """True while jobs are here."""
        return self._here.total() > 0

    async def change(self) -> None:
        """Wait until a job has ended, at most until an empty queue is worth another look."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRY):
                await self._changed.wait()

    def _room(self, name: str) -> int:
        return self._limits[name] + self._spare(name) - self._here[name]

    def _spare(self, name: str) -> int:
        return min(self._limits[name] // 4, MOST_SPARE)


class PlacedQueueManager(QueueManager):
    """PgQueuer's manager, taking jobs for which there are places."""

    places: Places

    async def fetch_jobs(
        self, batch_size: int, global_concurrency_limit: int | None, heartbeat_timeout: timedelta
    ) -> AsyncGenerator[QueuedJob, None]:
        """Yield jobs until there is none to take and none at work."""
        while not self.shutdown.is_set():
            # The jobs of the last batch are counted once their tasks have begun.
            await asyncio.sleep(0)
            found = False
            for name, room in self.places.open().items():
                for job in await self._take(name, min(room, batch_size), global_concurrency_limit, heartbeat_timeout):
                    found = True
                    yield job
            if not found:
                if not self.places.is_busy:
                    return
                await self.places.change()

    async def _take(
        self, name: str, most: int, global_concurrency_limit: int | None, heartbeat_timeout: timedelta
    ) -> list[QueuedJob]:
        jobs = await self.queries.dequeue(
            batch_size=most,
            entrypoints={QueueEntrypoint(name): EntrypointExecutionParameter(concurrency_limit=0)},
            queue_manager_id=self.queue_manager_id,
            global_concurrency_limit=global_concurrency_limit,
            heartbeat_timeout=heartbeat_timeout,
        )
        if not jobs:
            self.places.note_dry(name)
        return jobs
