"""A run is watched: its present state first, then changes, coalesced, then how it ended."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Protocol

from libs.clock import Clock
from libs.errors import RunNotFound, UpstreamUnavailable
from libs.waiting import wait_at_most
from services.sync.domain.outcomes import RunState
from services.sync.domain.progress import Progress
from services.sync.domain.runs import EndedSubject, Run

QUIET = 0.1  # seconds at least between two messages: 44,000 messages a second can be sent, nobody can read them
POLL = 2.0  # seconds without a hint after which the rows are read all the same
MOST_ENDED = 500  # subjects in one message
RATE_WINDOW = 30.0  # seconds over which the pace is measured


class RunReader(Protocol):
    """Where runs are read from."""

    async def get(self, run_id: str) -> Run | None:
        """Return the run."""
        ...

    async def ended(self, run_id: str, *, after: int, upto: int, limit: int) -> tuple[EndedSubject, ...]:
        """Return the subjects that ended at changes in (after, upto], in order."""
        ...


class Hints(Protocol):
    """Hints that a run has changed; some may be lost, none is proof."""

    def of(self, run_id: str) -> AbstractContextManager[asyncio.Event]:
        """Return an event that is set at every hint, until the context ends."""
        ...


@dataclass(frozen=True, kw_only=True)
class Change:
    """The newest reading of a run; ended holds what ended behind `after`, None when that was too much."""

    run: Run
    after: int
    ended: tuple[EndedSubject, ...] | None
    eta: timedelta | None

    @cached_property
    def progress(self) -> Progress:
        """What all are told who were told of everything before: one value, so that it is made into a message once."""
        return Progress(run=self.run, sequence=self.run.sequence, ended=self.ended or (), eta=self.eta)


class Pace:
    """Estimates the time left from the recent rate."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def estimate(self, run: Run) -> timedelta | None:
        """Return the time left; None until the pace is known, and at the end."""
        now = self._clock.monotonic()
        self._seen.append((now, run.processed))
        while now - self._seen[0][0] > RATE_WINDOW:
            self._seen.popleft()
        first_at, first = self._seen[0]
        if run.state.is_final or run.processed <= first:
            return None
        return timedelta(seconds=(run.total - run.processed) * (now - first_at) / (run.processed - first))


class RunFeed:
    """Reads one run for all of its watchers in this process and keeps nothing but the newest reading."""

    def __init__(self, *, run: Run, rows: RunReader, hint: asyncio.Event, clock: Clock) -> None:
        self._rows = rows
        self._hint = hint
        self._clock = clock
        self._pace = Pace(clock)
        self._changed = asyncio.Event()
        self._failure: Exception | None = None
        self.newest = Change(run=run, after=run.sequence, ended=(), eta=self._pace.estimate(run))

    async def follow(self) -> None:
        """Read until the run has ended; a failure is raised to every watcher."""
        # The run may have changed before the hints began to arrive.
        self._hint.set()
        try:
            while not self.newest.run.state.is_final:
                await self._wait_for_hint()
                await self._read()
                await self._clock.sleep(QUIET)
        except Exception as error:  # noqa: BLE001 - it is raised again where the watchers wait
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Raise the error to every watcher."""
        self._failure = error
        self._announce()

    async def newer_than(self, run: Run) -> Change:
        """Return a reading with a later change than this one, waiting for it."""
        while self.newest.run.sequence <= run.sequence:
            if self._failure:
                raise self._failure
            await self._changed.wait()
        return self.newest

    async def _wait_for_hint(self) -> None:
        await wait_at_most(self._hint, POLL)
        self._hint.clear()

    async def _read(self) -> None:
        before = self.newest.run
        run = await self._rows.get(before.id)
        if run is None:
            raise RunNotFound
        if run.sequence == before.sequence:
            return
        ended = await self._rows.ended(run.id, after=before.sequence, upto=run.sequence, limit=MOST_ENDED + 1)
        self.newest = Change(
            run=run,
            after=before.sequence,
            ended=ended if len(ended) <= MOST_ENDED else None,
            eta=self._pace.estimate(run),
        )
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass
class SharedFeed:
    """A feed, the task that reads it, and how many watch it."""

    feed: RunFeed
    closing: AsyncExitStack
    watchers: int = 0


class RunWatch:
    """Lets any number of watchers follow runs; each run is read once, however many watch it."""

    def __init__(self, *, rows: RunReader, hints: Hints, clock: Clock) -> None:
        self._rows = rows
        self._hints = hints
        self._clock = clock
        self._feeds: dict[str, SharedFeed] = {}

    async def watch(self, run_id: str, after: int) -> AsyncGenerator[Progress, None]:
        """Yield the run's progress behind the change `after` until the run has ended; RunNotFound."""
        run = await self._rows.get(run_id)
        if run is None:
            raise RunNotFound
        async with self._feed(run) as feed:
            change = Change(run=run, after=run.sequence, ended=None, eta=feed.newest.eta)
            while True:
                async for progress in self._messages(change, after):
                    yield progress
                if change.run.state.is_final:
                    return
                after = max(after, change.run.sequence)
                change = await feed.newer_than(change.run)

    def close(self) -> None:
        """End every watch: the process stops, the runs go on."""
        for shared in self._feeds.values():
            shared.feed.fail(UpstreamUnavailable("This service is stopping: watch the run again."))

    @asynccontextmanager
    async def _feed(self, run: Run) -> AsyncIterator[RunFeed]:
        shared = self._feeds.get(run.id) or self._open(run)
        shared.watchers += 1
        try:
            yield shared.feed
        finally:
            shared.watchers -= 1
            if not shared.watchers:
                del self._feeds[run.id]
                await shared.closing.aclose()

    def _open(self, run: Run) -> SharedFeed:
        closing = AsyncExitStack()
        hint = closing.enter_context(self._hints.of(run.id))
        feed = RunFeed(run=run, rows=self._rows, hint=hint, clock=self._clock)
        task = asyncio.create_task(feed.follow())
        closing.callback(task.cancel)
        self._feeds[run.id] = SharedFeed(feed, closing)
        return self._feeds[run.id]

    async def _messages(self, change: Change, after: int) -> AsyncIterator[Progress]:
        run, ended = change.run, change.ended
        if ended is not None and change.after == after:
            yield change.progress
            return
        if ended is None or change.after > after:
            # This watcher is behind the shared reading: it gets its own, page by page.
            ended = await self._ended(run, after)
            while len(ended) == MOST_ENDED:
                after = ended[-1].sequence
                # Only the last page may say that the run has ended: who stops there has been told of every store.
                yield Progress(run=replace(run, state=RunState.RUNNING), sequence=after, ended=ended, eta=change.eta)
                ended = await self._ended(run, after)
        fresh = tuple(subject for subject in ended if subject.sequence > after)
        yield Progress(run=run, sequence=run.sequence, ended=fresh, eta=change.eta)

    async def _ended(self, run: Run, after: int) -> tuple[EndedSubject, ...]:
        return await self._rows.ended(run.id, after=after, upto=run.sequence, limit=MOST_ENDED)
