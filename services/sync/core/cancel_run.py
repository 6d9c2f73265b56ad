"""A run is cancelled: it ends where it stands, whichever replica works on it."""

from typing import Protocol

import structlog

from libs.detached import DetachedTasks
from libs.errors import RunNotFound
from services.sync.domain.runs import Run

log = structlog.get_logger()


class RunEnder(Protocol):
    """Where runs are ended."""

    async def cancel(self, run_id: str) -> bool:
        """End the run with all of its open items in one step; False when it had ended before, or never was."""
        ...


class RunReader(Protocol):
    """Where runs are read from."""

    async def get(self, run_id: str) -> Run | None:
        """Return the run."""
        ...


class RunCanceller:
    """Cancels runs."""

    def __init__(self, *, ender: RunEnder, rows: RunReader) -> None:
        self._ender = ender
        self._rows = rows
        self._cancelling = DetachedTasks()

    async def cancel(self, run_id: str) -> Run:
        """Return the run as it stands after this; RunNotFound.

        A caller that does not wait for the end leaves a run that is cancelled all the same.
        """
        cancelled = await self._cancelling.outcome(self._ender.cancel(run_id), "cancel run")
        run = await self._rows.get(run_id)
        if run is None:
            raise RunNotFound
        if cancelled:
            log.info("Run cancelled", run_id=run_id, processed=run.processed, total=run.total)
        return run

    async def drain(self) -> None:
        """Wait until every run that was being cancelled is."""
        await self._cancelling.drain()
