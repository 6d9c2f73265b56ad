"""A run is shown as it stands."""

from dataclasses import dataclass
from typing import Protocol

from libs.errors import RunNotFound
from services.sync.domain.runs import EndedSubject, Run, RunPosition

USUAL_PAGE = 50


class RunReader(Protocol):
    """Where runs are read from."""

    async def get(self, run_id: str) -> Run | None:
        """Return the run."""
        ...

    async def newest(self, *, behind: RunPosition | None, limit: int, active_only: bool) -> tuple[Run, ...]:
        """Return runs behind the position, newest first."""
        ...

    async def ended(self, run_id: str, *, after: int, upto: int, limit: int) -> tuple[EndedSubject, ...]:
        """Return the subjects that ended at changes in (after, upto], in order."""
        ...


@dataclass(frozen=True)
class RunPage:
    """Runs, and where the next page begins; None on the last."""

    runs: tuple[Run, ...]
    behind: RunPosition | None


class RunViewer:
    """Shows runs."""

    def __init__(self, *, rows: RunReader) -> None:
        self._rows = rows

    async def show(self, run_id: str) -> tuple[Run, tuple[EndedSubject, ...]]:
        """Return the run and, when it covers one subject, how that one ended; RunNotFound."""
        run = await self._rows.get(run_id)
        if run is None:
            raise RunNotFound
        if run.scope.subject is None:
            return run, ()
        return run, await self._rows.ended(run_id, after=0, upto=run.sequence, limit=1)

    async def page(self, *, behind: RunPosition | None, size: int, active_only: bool) -> RunPage:
        """Return a page of runs, newest first; 50 when size is 0."""
        size = size or USUAL_PAGE
        found = await self._rows.newest(behind=behind, limit=size + 1, active_only=active_only)
        runs = found[:size]
        more = len(found) > size
        return RunPage(runs, RunPosition(runs[-1].created_at, runs[-1].id) if more else None)
