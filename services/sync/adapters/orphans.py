"""Open items that have no job any more are given one; PgQueuer's own log is kept short."""

from services.sync.adapters.postgres.database import Database
from services.sync.adapters.queue import JobQueue
from services.sync.adapters.queued_jobs import TOGETHER_LANE
from services.sync.domain.items import ItemKey
from services.sync.domain.jobs import Job
from services.sync.domain.subjects import Subject, SubjectKind

MOST = 1_000  # items a look
PORTION = 10_000  # lines a statement

# Younger ones may be on their way: a job is deleted after its item has ended, not before.
FIND = f"""
WITH together AS (
    SELECT split_part(dedupe_key, '/', 1)::uuid AS run_id, split_part(dedupe_key, '/', 2) AS job,
           subject ->> 0 AS subject_kind, subject ->> 1 AS subject_id
    FROM pgqueuer, jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb -> 'items') AS subject
    WHERE entrypoint LIKE '%{TOGETHER_LANE}' AND status IN ('queued', 'picked')
)
SELECT item.run_id, item.job, item.subject_kind, item.subject_id, run.subject_id IS NOT NULL AS is_urgent
FROM sync_items item JOIN sync_runs run ON run.id = item.run_id
WHERE item.state <> 'ended' AND item.updated_at < clock_timestamp() - interval '10 seconds'
  AND NOT EXISTS (
    SELECT FROM together
    WHERE (together.run_id, together.job, together.subject_kind, together.subject_id)
        = (item.run_id, item.job, item.subject_kind, item.subject_id))
  AND NOT EXISTS (
    SELECT FROM pgqueuer queued
    WHERE queued.dedupe_key = concat_ws('/', item.run_id, item.job, item.subject_kind, item.subject_id)
      AND queued.status IN ('queued', 'picked'))
ORDER BY item.updated_at LIMIT $1
"""

PRUNE = f"""
DELETE FROM pgqueuer_log WHERE id IN (
    SELECT id FROM pgqueuer_log WHERE created < now() - interval '1 day' ORDER BY id LIMIT {PORTION})
"""


class Orphans:
    """Finds lost work."""

    def __init__(self, *, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    async def prune_log(self) -> None:
        """Delete what PgQueuer noted more than a day ago, a portion at a time."""
        async with self._database.borrow() as connection:
            while await connection.execute(PRUNE) == f"DELETE {PORTION}":
                pass

    async def requeue(self) -> int:
        """Give every open item without a job a new one; return how many had none."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(FIND, MOST)
            for is_urgent in (True, False):
                keys = [
                    ItemKey(
                        str(row["run_id"]),
                        Job(row["job"]),
                        Subject(SubjectKind(row["subject_kind"]), row["subject_id"]),
                    )
                    for row in rows
                    if row["is_urgent"] is is_urgent
                ]
                await self._queue.enqueue(connection, keys, is_urgent=is_urgent)
        return len(rows)
