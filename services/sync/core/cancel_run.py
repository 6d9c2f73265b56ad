"""A run is cancelled: it ends where it stands, whichever replica works on it."""

from typing import Protocol

import structlog

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

    async def cancel(self, run_id: str) -> Run:
        """Return the run as it stands after this; RunNotFound."""
        cancelled = await self._ender.cancel(run_id)
        run = await self._rows.get(run_id)
        if run is None:
            raise RunNotFound
        if cancelled:
            log.info("Run cancelled", run_id=run_id, processed=run.processed, total=run.total)
        return run
