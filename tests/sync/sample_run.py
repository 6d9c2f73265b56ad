"""A run in the middle of its work, to be changed by tests that need no database, and the items of a run to be."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

from services.sync.domain.jobs import Job
from services.sync.domain.outcomes import RunState
from services.sync.domain.runs import PlannedItem, Run, Scope

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


async def in_one_portion(*items: PlannedItem) -> AsyncIterator[tuple[PlannedItem, ...]]:
    """Yield the items as a plan does."""
    yield items
