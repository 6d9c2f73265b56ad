"""The line in the sync log about a whole job, written once with the end of its last item."""

import asyncpg

from libs.database.pool import Borrowed
from services.sync.domain import wording
from services.sync.domain.jobs import LOG_NAMES, Job
from services.sync.domain.outcomes import Outcome
from services.sync.domain.runs import JobCounts

LOG_JOB = """
INSERT INTO sync_logs (run_id, job_name, status, message, duration_ms)
SELECT id, $2, $3, $4,
       (extract(epoch FROM clock_timestamp() - coalesce(started_at, clock_timestamp())) * 1000)::bigint
FROM sync_runs WHERE id = $1
"""


async def log_ended_job(connection: Borrowed, run_id: str, counts: JobCounts) -> None:
    """Write how one job ended over all stores."""
    failed = counts.failed and not counts.succeeded
    status = Outcome.FAILED if failed else Outcome.SUCCESS
    await connection.execute(LOG_JOB, run_id, LOG_NAMES[counts.job], status.value, wording.job_ended(counts))


def to_counts(row: asyncpg.Record) -> JobCounts:
    """Return the counts in a row of sync_run_jobs."""
    return JobCounts(
        job=Job(row["job"]),
        total=row["total"],
        processed=row["processed"],
        succeeded=row["succeeded"],
        failed=row["failed"],
        skipped=row["skipped"],
        refreshed=row["refreshed"],
    )
