"""Calls of people as rows that are added and never changed; the table is made by each service's migrations."""

from libs.database.pool import Pool, borrow
from libs.rpc.recording import Record

APPEND = """
INSERT INTO audit_calls (call, actor, method, request, request_id, outcome) VALUES ($1, $2, $3, $4, $5, $6)
"""


class CallLog:
    """A trail in the schema of the pool's sessions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def append(self, record: Record) -> None:
        """Keep a record; raise StorageUnavailable when it is not kept."""
        async with borrow(self._pool) as connection:
            await connection.execute(
                APPEND,
                record.call,
                record.actor,
                record.method,
                record.request,
                record.request_id,
                record.outcome,
            )
