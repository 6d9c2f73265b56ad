"""The tables sync_runs and sync_run_jobs, read."""

from datetime import timedelta
from typing import Any

import asyncpg

from services.sync.adapters.postgres.arrays import array
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.run_ending import to_counts
from services.sync.domain.jobs import PARTS, Job
from services.sync.domain.outcomes import RunState, worst
from services.sync.domain.runs import EndedSubject, JobCounts, Run, RunPosition, Scope
from services.sync.domain.subjects import Subject, SubjectKind

READ = """
SELECT run.*, (SELECT jsonb_agg(to_jsonb(part)) FROM sync_run_jobs part WHERE part.run_id = run.id) AS parts
FROM sync_runs run
"""

NEWEST = f"""
{READ} WHERE ($1::timestamptz IS NULL OR (run.created_at, run.id) < ($1, $2::uuid))
  AND (NOT $3 OR run.state IN ('queued', 'running'))
ORDER BY run.created_at DESC, run.id DESC LIMIT $4
"""

ENDED = """
SELECT closing.subject_kind, closing.subject_id, closing.ended_sequence, items.*
FROM sync_items closing
CROSS JOIN LATERAL (
    SELECT array_agg(outcome ORDER BY place) AS outcomes,
           array_agg(reason ORDER BY place) AS reasons,
           array_agg(message ORDER BY place) AS messages,
           sum(records)::bigint AS records,
           coalesce(max(ended_at) - min(first_started_at), '0') AS duration
    FROM sync_items item, array_position($5::text::text[], item.job) AS place
    WHERE item.run_id = closing.run_id
      AND item.subject_kind = closing.subject_kind AND item.subject_id = closing.subject_id
) items
WHERE closing.run_id = $1 AND closing.closes_subject
  AND closing.ended_sequence > $2 AND closing.ended_sequence <= $3
ORDER BY closing.ended_sequence LIMIT $4
"""


class RunRows:
    """Reads runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, run_id: str) -> Run | None:
        """Return the run."""
        return await self._one("WHERE id = $1::uuid", run_id)

    async def by_idempotency_key(self, key: str) -> Run | None:
        """Return the run that was started with the key."""
        return await self._one("WHERE idempotency_key = $1", key)

    async def active(self, scope: Scope) -> Run | None:
        """Return the run of this scope that has not ended."""
        return await self._one("WHERE scope_key = $1 AND state IN ('queued', 'running')", scope.key)

    async def newest(self, *, behind: RunPosition | None, limit: int, active_only: bool) -> tuple[Run, ...]:
        """Return runs behind the position, newest first."""
        created_at, run_id = (behind.created_at, behind.run_id) if behind else (None, None)
        async with self._database.borrow() as connection:
            rows = await connection.fetch(NEWEST, created_at, run_id, active_only, limit)
        return tuple(to_run(row) for row in rows)

    async def ended(self, run_id: str, *, after: int, upto: int, limit: int) -> tuple[EndedSubject, ...]:
        """Return the subjects that ended at changes in (after, upto], in order."""
        async with self._database.borrow() as connection:
            rows = await connection.fetch(ENDED, run_id, after, upto, limit, array(PARTS))
        return tuple(to_ended(row) for row in rows)

    async def _one(self, condition: str, value: str) -> Run | None:
        async with self._database.borrow() as connection:
            row = await connection.fetchrow(f"{READ} {condition}", value)
        return to_run(row) if row else None


def to_run(row: asyncpg.Record) -> Run:
    """Return the run in a row of READ."""
    return Run(
        id=str(row["id"]),
        scope=Scope(Job(row["job"]), to_subject(row), tuple(map(Subject.store, row["listed"] or ()))),
        state=RunState(row["state"]),
        total=row["total"],
        processed=row["processed"],
        succeeded=row["succeeded"],
        failed=row["failed"],
        skipped=row["skipped"],
        videos=row["videos"],
        jobs=to_jobs(row["parts"] or []),
        sequence=row["sequence"],
        snapshot_date=row["snapshot_date"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )


def to_subject(row: asyncpg.Record) -> Subject | None:
    """Return a run's only subject; None when it covers all."""
    return Subject(SubjectKind(row["subject_kind"]), row["subject_id"]) if row["subject_kind"] else None


def to_jobs(parts: list[Any]) -> tuple[JobCounts, ...]:
    """Return the counts by job, in the order in which jobs are listed."""
    counts = {part["job"]: to_counts(part) for part in parts}
    return tuple(counts[job] for job in PARTS if job in counts)


def to_ended(row: asyncpg.Record) -> EndedSubject:
    """Return the subject in a row of ENDED: the jobs that came out worst speak for it."""
    outcome = worst(row["outcomes"])
    items = zip(row["outcomes"], row["reasons"], row["messages"], strict=True)
    telling = [(reason, message) for came_out, reason, message in items if came_out == outcome]
    duration: timedelta = row["duration"]
    return EndedSubject(
        subject=Subject(SubjectKind(row["subject_kind"]), row["subject_id"]),
        outcome=outcome,
        reason=telling[0][0],
        message="; ".join(dict.fromkeys(message for _, message in telling)),
        sequence=row["ended_sequence"],
        records=row["records"],
        duration=duration,
    )
