"""A run is cancelled in one transaction, so that it ends exactly once.

Items are locked before the run, as they are when one of them ends: whoever is first decides, and the other finds an
item that has ended. A worker at an open item learns with its next page that nothing it does is saved any more.
"""

from libs.database.pool import Borrowed
from services.sync.adapters.postgres.channels import NOTIFY_RUN
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.run_ending import to_counts
from services.sync.domain import wording
from services.sync.domain.jobs import LOG_NAMES

# Two callers that cancel at once would take the items' locks in different orders.
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('cancel_run'), hashtext($1))"

# A statement over the items of a million stores takes longer than others may.
PATIENCE = 300.0  # seconds
BE_PATIENT = f"SET LOCAL statement_timeout = '{PATIENCE:g}s'"

# In the order of their key, as workers do that end several at once; counted, for a row each would be kept in memory.
LOCK_ITEMS = """
SELECT count(*) FROM (
    SELECT FROM sync_items WHERE run_id = $1 AND state <> 'ended'
    ORDER BY job, subject_kind, subject_id FOR UPDATE
) AS locked
"""

END_ITEMS = """
UPDATE sync_items SET
    state = 'ended', outcome = 'SKIPPED', reason = 'CANCELLED', message = 'The run was cancelled',
    next_attempt_at = NULL, ended_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE run_id = $1 AND state <> 'ended'
"""

END_RUN = f"""
UPDATE sync_runs SET state = 'cancelled', finished_at = clock_timestamp(), sequence = sequence + 1
WHERE id = $1 AND state IN ('queued', 'running')
RETURNING subject_id IS NULL AS has_job_lines, {NOTIFY_RUN.format("id")}
"""

# Jobs at work are left to their workers, which find their items ended.
DROP_JOBS = "DELETE FROM pgqueuer WHERE status = 'queued' AND dedupe_key LIKE $1 || '/%'"

OPEN_JOBS = "SELECT * FROM sync_run_jobs WHERE run_id = $1 AND processed < total ORDER BY job"

LOG_JOB = """
INSERT INTO sync_logs (run_id, job_name, status, message, duration_ms)
SELECT id, $2, 'SKIPPED', $3, (extract(epoch FROM finished_at - coalesce(started_at, finished_at)) * 1000)::bigint
FROM sync_runs WHERE id = $1
"""


class RunCancelling:
    """Cancels runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cancel(self, run_id: str) -> bool:
        """End the run with all of its open items in one step; False when it had ended before, or never was."""
        async with self._database.transaction() as connection:
            await connection.execute(BE_PATIENT)
            for statement in (ONE_AT_A_TIME, LOCK_ITEMS, END_ITEMS):
                await connection.execute(statement, run_id, timeout=PATIENCE)
            ended = await connection.fetchrow(END_RUN, run_id)
            if ended is None:
                return False
            await connection.execute(DROP_JOBS, run_id, timeout=PATIENCE)
            if ended["has_job_lines"]:
                await log_open_jobs(connection, run_id)
        return True


async def log_open_jobs(connection: Borrowed, run_id: str) -> None:
    """Write how far each job had come that had not ended."""
    for row in await connection.fetch(OPEN_JOBS, run_id):
        counts = to_counts(row)
        await connection.execute(LOG_JOB, run_id, LOG_NAMES[counts.job], wording.job_cancelled(counts))
