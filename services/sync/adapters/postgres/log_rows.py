"""The table sync_logs, read."""

from services.sync.adapters.postgres.database import Database
from services.sync.domain.logs import SyncLog
from services.sync.domain.outcomes import Outcome

# A creator's lines have no store_code either, but are not about a whole job.
NEWEST = """
SELECT id, store_code, job_name, status, message, raw_error, duration_ms, run_time
FROM sync_logs
WHERE {} AND subject_kind IS DISTINCT FROM 'user'
ORDER BY id DESC LIMIT $1
"""


class LogRows:
    """Reads the sync log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, *, store_code: str | None, limit: int) -> list[SyncLog]:
        """Return the newest lines, of one store when given."""
        async with self._database.borrow() as connection:
            if store_code is None:
                rows = await connection.fetch(NEWEST.format("true"), limit)
            else:
                rows = await connection.fetch(NEWEST.format("store_code = $2"), limit, store_code)
        return [SyncLog(**{**row, "status": Outcome(row["status"])}) for row in rows]
