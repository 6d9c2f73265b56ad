"""Refreshes all connections of a scope once, however many ask for it, and tells each of them how every one ended.

A run is a row, unique among the running ones of its scope, and so are the ended parts: whoever asks for a scope that
is running, in this process or another, reads the same rows from the first on. A run belongs to the process that began
it and to none of its callers. It ends with its process: after SIGTERM when what is in flight has landed, otherwise as
LOST; callers are told to ask again, and the next run does what was left: what had been refreshed is part of it.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator
from uuid import UUID

import structlog

from libs.clock import Clock
from libs.detached import DetachedTasks
from libs.errors import UpstreamUnavailable
from services.token.core.carry_out import LEASE, PAGE, Work, every_candidate
from services.token.core.refresh import Refresher
from services.token.core.refresh_runs import RefreshRunsPort, Run, RunState
from services.token.domain.refresh_runs import WOULD_REFRESH, Candidate, Outcome, Scope, Tally, Told, decide, part_of

LOOK_EVERY = 0.1  # seconds between looks at a run by each of its callers
LANDING = 8.0  # seconds that callers wait for a stopping run, which is less than a stopping server waits for them

log = structlog.get_logger()


class RefreshAll:
    """Runs of this process, and streams of any."""

    def __init__(self, *, runs: RefreshRunsPort, refresher: Refresher, clock: Clock, concurrency: int) -> None:
        self._runs = runs
        self._refresher = refresher
        self._clock = clock
        self._concurrency = concurrency
        self._stop = asyncio.Event()
        self._give_up_at = math.inf
        self._beginning = DetachedTasks()
        self._at_work: dict[UUID, asyncio.Task[None]] = {}

    def close(self) -> None:
        """Begin no more refreshes; those in flight land."""
        self._give_up_at = self._clock.monotonic() + LANDING
        self._stop.set()

    async def drain(self) -> None:
        """Wait until every run of this process is over."""
        await self._beginning.drain()
        while self._at_work:
            await asyncio.wait(self._at_work.values())

    async def run(self, scope: Scope) -> AsyncGenerator[Told | Tally, None]:
        """Yield how each connection ended, then the tally; UpstreamUnavailable when the run stopped before its end."""
        if self._stop.is_set():
            raise stopped()
        # A caller who leaves in this moment must not leave a run behind that nobody carries out.
        run = await self._beginning.outcome(self._begin(scope), "begin refresh all")
        after, state, tally = 0, RunState.RUNNING, Tally()
        while True:
            found = await self._runs.ended(run.id, after, PAGE)
            for told in found:
                yield told
            after += len(found)
            if state is not RunState.RUNNING and not found:
                break
            if not found:
                self._raise_when_stopping(run.id)
                await self._clock.sleep(LOOK_EVERY)
            state, tally = await self._runs.state(run.id)
        if state is not RunState.FINISHED:
            raise stopped()
        yield tally

    async def rehearse(self, scope: Scope) -> AsyncGenerator[Told | Tally, None]:
        """Yield how each connection would end, were every refresh to succeed, then the tally; nothing is done."""
        tally = Tally(rehearsed=True)
        async for candidate in every_candidate(lambda after: self._runs.candidates(scope, after, PAGE)):
            if self._stop.is_set():
                raise stopped()
            told = foretold(candidate, scope)
            tally = tally.with_one(told.ended.outcome)
            yield told
        yield tally

    async def _begin(self, scope: Scope) -> Run:
        run = await self._runs.begin(scope, lease=LEASE)
        if run.begun:
            work = Work(runs=self._runs, refresher=self._refresher, clock=self._clock, stop=self._stop)
            task = asyncio.create_task(work.carry_out(run, scope, self._concurrency), name=f"refresh all {run.id}")
            self._at_work[run.id] = task
            task.add_done_callback(lambda done: self._end(run.id, done))
        return run

    def _end(self, run_id: UUID, task: asyncio.Task[None]) -> None:
        del self._at_work[run_id]
        with contextlib.suppress(asyncio.CancelledError):
            if error := task.exception():
                log.error("refresh of all broke off", run=str(run_id), exc_info=error)

    def _raise_when_stopping(self, run_id: UUID) -> None:
        foreign = self._stop.is_set() and run_id not in self._at_work
        if foreign or self._clock.monotonic() > self._give_up_at:
            raise stopped()


def stopped() -> UpstreamUnavailable:
    """Return the error for a run, or a caller's view of it, that ends early."""
    return UpstreamUnavailable(
        "The process that refreshed all connections stopped: ask again for those that are left.", retry_after=2.0
    )


def foretold(candidate: Candidate, scope: Scope) -> Told:
    """Return how a connection's part would end."""
    connection = candidate.connection
    would = part_of(connection, Outcome.REFRESHED, WOULD_REFRESH, "Nothing was done: it would be refreshed.")
    return Told(ended=decide(candidate, scope) or would, connection=connection)
