"""What a watcher of a run is told."""

from dataclasses import dataclass
from datetime import timedelta

from services.sync.domain.runs import EndedSubject, Run


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A run as it stands, and the subjects that ended since the message before; sequence is the last one included."""

    run: Run
    sequence: int
    ended: tuple[EndedSubject, ...]
    eta: timedelta | None


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How far a run is, right after one of its items ended."""

    run_id: str
    processed: int
    total: int
    is_final: bool
