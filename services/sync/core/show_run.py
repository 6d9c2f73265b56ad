"""A run is shown as it stands."""

from typing import Protocol

from libs.errors import RunNotFound
from services.sync.domain.runs import EndedSubject, Run


class RunReader(Protocol):
    """Where runs are read from."""

    async def get(self, run_id: str) -> Run | None:
        """Return the run."""
        ...

    async def ended(self, run_id: str, *, after: int, upto: int, limit: int) -> tuple[EndedSubject, ...]:
        """Return the subjects that ended at changes in (after, upto], in order."""
        ...


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
