"""Runs: a job over one subject or all of them, and how far it has come."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.sync.domain.items import Ending
from services.sync.domain.jobs import Job
from services.sync.domain.outcomes import Outcome, RunState
from services.sync.domain.schedules import Tick
from services.sync.domain.subjects import Subject


@dataclass(frozen=True)
class Scope:
    """What a run covers; one run of the same scope is active at a time."""

    job: Job
    subject: Subject | None
    listed: tuple[Subject, ...] = ()

    @property
    def key(self) -> str:
        """The scope as one word; the same list in another order is the same scope."""
        if self.listed:
            names = ",".join(f"{subject.kind}:{subject.id}" for subject in sorted(self.listed))
            return f"{self.job}:list:{hashlib.sha256(names.encode()).hexdigest()[:32]}"
        return f"{self.job}:{self.subject.kind}:{self.subject.id}" if self.subject else f"{self.job}:all"


@dataclass(frozen=True, kw_only=True)
class PlannedItem:
    """An item of a run to be; one that has its ending already is never worked on."""

    job: Job
    subject: Subject
    ending: Ending | None = None


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A run to be; its items come in portions, so that a large run is never in memory as a whole.

    A subject's items stand together in one portion.
    """

    scope: Scope
    idempotency_key: str | None
    snapshot_date: date
    portions: AsyncIterator[tuple[PlannedItem, ...]]
    tick: Tick | None = None


@dataclass(frozen=True)
class RunPosition:
    """A place in the list of runs, newest first: behind this run."""

    created_at: datetime
    run_id: str


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
        """Share of the subjects that have ended, 0 to 100; of none, all once the run has ended."""
        if not self.total:
            return 100.0 if self.state.is_final else 0.0
        return round(100 * self.processed / self.total, 2)


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
