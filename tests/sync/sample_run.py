"""A run in the middle of its work, to be changed by tests that need no database."""

from datetime import UTC, date, datetime

from services.sync.domain.jobs import Job
from services.sync.domain.outcomes import RunState
from services.sync.domain.runs import Run, Scope

RUN = Run(
    id="one",
    scope=Scope(Job.ALL, None),
    state=RunState.RUNNING,
    total=300,
    processed=0,
    succeeded=0,
    failed=0,
    skipped=0,
    videos=0,
    jobs=(),
    sequence=0,
    snapshot_date=date(2026, 11, 21),
    created_at=datetime(2026, 11, 21, tzinfo=UTC),
    started_at=None,
    finished_at=None,
)
