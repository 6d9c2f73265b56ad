"""Carries a run out: each connection once, so many at a time, and every ended part recorded before the run is over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from libs.clock import Clock
from libs.errors import Internal, StorageUnavailable, TokhubError
from services.token.core.refresh import Refresher
from services.token.core.refresh_runs import RefreshRunsPort, Run, RunState
from services.token.domain.connection import Connection, Need
from services.token.domain.refresh_runs import Candidate, Ended, Outcome, Scope, Tally, decide, part_of

LEASE = 30.0  # seconds without a sign of life after which a run's process is taken for dead
HEARTBEAT = 5.0  # seconds
GATHER = 0.05  # seconds in which ended parts are gathered, to be recorded at once
PAGE = 200  # connections read at once; all that a run of any size holds in memory
AGAIN = 0.5  # seconds before the database is tried again

log = structlog.get_logger()


async def every_candidate(read: Callable[[int], Awaitable[Sequence[Candidate]]]) -> AsyncIterator[Candidate]:
    """Yield what read returns of connections behind a number, page by page until one is empty."""
    page = await read(0)
    while page:
        for candidate in page:
            yield candidate
        page = await read(page[-1].connection.number)


class Work:
    """One run at work in this process; stop is set when no more refreshes may begin."""

    def __init__(self, *, runs: RefreshRunsPort, refresher: Refresher, clock: Clock, stop: asyncio.Event) -> None:
        self._runs = runs
        self._refresher = refresher
        self._clock = clock
        self._stop = stop
        self._exhausted = False
        self._overtaken = False

    async def carry_out(self, run: Run, scope: Scope, concurrency: int) -> None:
        """End the part of every connection of the scope, and the run."""
        try:
            async with asyncio.TaskGroup() as tasks:
                ended: asyncio.Queue[Ended] = asyncio.Queue(maxsize=concurrency)
                recording = tasks.create_task(self._record(run, ended))
                await self._work_through(run, scope, concurrency, ended)
                await ended.join()
                recording.cancel()
        finally:
            with contextlib.suppress(StorageUnavailable):
                await self._runs.finish(run.id, RunState.FINISHED if self._exhausted else RunState.STOPPED)

    async def _work_through(self, run: Run, scope: Scope, concurrency: int, ended: asyncio.Queue[Ended]) -> None:
        source, turn = every_candidate(lambda after: self._read(run, scope, after)), asyncio.Lock()
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(self._work(source, turn, scope, ended))

    async def _read(self, run: Run, scope: Scope, after: int) -> Sequence[Candidate]:
        while not self._stop.is_set():
            try:
                return await self._runs.candidates(scope, after, PAGE, run)
            except StorageUnavailable:
                await self._clock.sleep(AGAIN)
        return ()

    async def _work(
        self, source: AsyncIterator[Candidate], turn: asyncio.Lock, scope: Scope, ended: asyncio.Queue[Ended]
    ) -> None:
        while candidate := await self._next(source, turn):
            await ended.put(decide(candidate, scope) or await self._refresh(candidate.connection))

    async def _next(self, source: AsyncIterator[Candidate], turn: asyncio.Lock) -> Candidate | None:
        async with turn:
            candidate = None if self._stop.is_set() or self._overtaken else await anext(source, None)
            stopped = self._stop.is_set() or self._overtaken
            self._exhausted = self._exhausted or (candidate is None and not stopped)
            return None if stopped else candidate

    async def _refresh(self, connection: Connection) -> Ended:
        """Refresh a connection unless somebody has since it was read; whatever goes wrong is this part's alone."""
        need = Need(min_ttl=0, spent_generation=connection.version.generation)
        try:
            held = await self._refresher.refresh(connection, need)
        except TokhubError as error:
            return part_of(connection, Outcome.FAILED, error.reason, error.message)
        except Exception:
            log.exception("refresh broke off", connection=str(connection.id))
            return part_of(connection, Outcome.FAILED, Internal.reason, Internal().message)
        return part_of(held.connection, Outcome.REFRESHED)

    async def _record(self, run: Run, ended: asyncio.Queue[Ended]) -> None:
        tally = Tally(refreshed=run.continued)
        while True:
            parts = await gather(ended)
            for part in parts:
                tally = tally.with_one(part.outcome)
            await self._append(run.id, parts, tally)
            for _ in parts:
                ended.task_done()

    async def _append(self, run_id: UUID, parts: Sequence[Ended], tally: Tally) -> None:
        while True:
            try:
                self._overtaken = not await self._runs.record(run_id, parts, tally, lease=LEASE)
            except StorageUnavailable:
                if self._stop.is_set():
                    return
                await self._clock.sleep(AGAIN)
            else:
                return


async def gather(ended: asyncio.Queue[Ended]) -> list[Ended]:
    """Return what ends in a short while, or nothing after a heartbeat without any."""
    parts: list[Ended] = []
    with contextlib.suppress(TimeoutError):
        parts.append(await asyncio.wait_for(ended.get(), HEARTBEAT))
        await asyncio.sleep(GATHER)
    while not ended.empty():
        parts.append(ended.get_nowait())
    return parts
