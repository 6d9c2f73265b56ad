"""The port to the rows of runs that refresh many connections; every time in it is by the database's clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from services.token.domain.refresh_runs import Candidate, Ended, Scope, Tally, Told


class RunState(StrEnum):
    """How a run stands; LOST is a run whose process is gone."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    STOPPED = "STOPPED"
    LOST = "LOST"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run, whether this caller began it, and how many refreshes of one that broke off are its first parts."""

    id: UUID
    begun: bool
    continued: int = 0


class RefreshRunsPort(Protocol):
    """Rows of runs. Every method raises StorageUnavailable when the database cannot be used."""

    async def begin(self, scope: Scope, *, lease: float) -> Run:
        """Begin a run of the scope, or return the one that is running; one whose process is gone does not count."""
        ...

    async def lose(self) -> None:
        """End runs whose process is gone, as LOST."""
        ...

    async def candidates(self, scope: Scope, after: int, size: int, run: Run | None = None) -> Sequence[Candidate]:
        """Return up to size connections of the scope with a number above after, lowest first.

        Those that a run has taken over from the one before it are left out.
        """
        ...

    async def record(self, run_id: UUID, ended: Sequence[Ended], tally: Tally, *, lease: float) -> bool:
        """Append ended parts, the last ones of the tally, and extend the lease; False when the run is over."""
        ...

    async def finish(self, run_id: UUID, state: RunState) -> None:
        """End a run."""
        ...

    async def state(self, run_id: UUID) -> tuple[RunState, Tally]:
        """Return how a run stands; what it had recorded by then can be read afterwards."""
        ...

    async def ended(self, run_id: UUID, after: int, size: int) -> Sequence[Told]:
        """Return up to size ended parts behind the first `after` ones."""
        ...
