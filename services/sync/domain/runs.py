"""Runs: a job over one subject or all of them, and how far it has come."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.sync.domain.connections import Connection, Standing
from services.sync.domain.items import Ending
from services.sync.domain.jobs import Job, parts_of
from services.sync.domain.outcomes import Outcome, RunState
from services.sync.domain.subjects import Subject

NEEDS_RECONNECT = "Skipped: the TikTok account must be connected again"


@dataclass(frozen=True)
class Scope:
    """What a run covers; one run of the same scope is active at a time."""

    job: Job
    subject: Subject | None

    @property
    def key(self) -> str:
        """The scope as one word."""
        return f"{self.job}:{self.subject.kind}:{self.subject.id}" if self.subject else f"{self.job}:all"


@dataclass(frozen=True, kw_only=True)
class PlannedItem:
    """An item of a run to be; one that has its ending already is never worked on."""

    job: Job
    subject: Subject
    ending: Ending | None = None


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A run to be."""

    scope: Scope
    idempotency_key: str | None
    snapshot_date: date
    items: tuple[PlannedItem, ...]


@dataclass(frozen=True, kw_only=True)
class JobCounts:
    """Counts of one job within a run."""

    job: Job
    total: int
    processed: int
    succeeded: int
    failed: int
    skipped: int
    refreshed: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as it stands; its counts are of subjects."""

    id: str
    scope: Scope
    state: RunState
    total: int
    processed: int
    succeeded: int
    failed: int
    skipped: int
    videos: int
    jobs: tuple[JobCounts, ...]
    sequence: int
    snapshot_date: date
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def percent(self) -> float:
        """Share of the subjects that have ended, 0 to 100."""
        if self.state.is_final:
            return 100.0
        return round(100 * self.processed / self.total, 2) if self.total else 0.0


@dataclass(frozen=True, kw_only=True)
class EndedSubject:
    """A subject that has ended within a run."""

    subject: Subject
    outcome: Outcome
    reason: str
    message: str
    sequence: int
    records: int
    duration: timedelta


def plan_items(job: Job, connections: tuple[Connection, ...]) -> tuple[PlannedItem, ...]:
    """Return the items of a run: disconnected subjects have none, those that need their owner are skipped at once."""
    skipped = Ending(outcome=Outcome.SKIPPED, message=NEEDS_RECONNECT, reason="REAUTH_REQUIRED")
    return tuple(
        PlannedItem(
            job=part,
            subject=connection.subject,
            ending=skipped if connection.standing is Standing.NEEDS_RECONNECT else None,
        )
        for connection in connections
        if connection.standing is not Standing.DISCONNECTED
        for part in parts_of(job)
    )
