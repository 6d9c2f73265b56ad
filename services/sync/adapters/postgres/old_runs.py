"""What runs leave behind, deleted a portion at a time; replicas that do so at once take different rows."""

from datetime import datetime

from libs.database.command_tag import rows_changed
from services.sync.adapters.postgres.database import Database

# By created_at too, which has an index.
ENDED_BEFORE = "run.created_at < $1 AND run.finished_at < $1"

# Items go before their run: with it, all items of a large one would go in a single statement.
ITEMS = f"""
DELETE FROM sync_items WHERE ctid = ANY (ARRAY(
    SELECT item.ctid FROM sync_runs run JOIN sync_items item ON item.run_id = run.id
    WHERE {ENDED_BEFORE} LIMIT $2 FOR UPDATE OF item SKIP LOCKED))
"""

RUNS = f"""
DELETE FROM sync_runs WHERE ctid = ANY (ARRAY(
    SELECT run.ctid FROM sync_runs run
    WHERE {ENDED_BEFORE} AND NOT EXISTS (SELECT FROM sync_items WHERE run_id = run.id)
    LIMIT $2 FOR UPDATE OF run SKIP LOCKED))
"""

LINES = """
DELETE FROM sync_logs WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM sync_logs WHERE run_time < $1 ORDER BY run_time LIMIT $2 FOR UPDATE SKIP LOCKED))
"""


class OldRuns:
    """Forgets runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, before: datetime, most: int) -> int:
        """Delete up to so many items, runs and log lines each, of runs that ended before; return how many rows."""
        deleted = 0
        for statement in (ITEMS, RUNS, LINES):
            async with self._database.borrow() as connection:
                deleted += rows_changed(await connection.execute(statement, before, most))
        return deleted
