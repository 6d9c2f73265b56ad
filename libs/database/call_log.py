"""Calls of people as rows that are added and never changed; the table is made by each service's migrations."""

from collections.abc import Sequence

from libs.database.pool import Pool, borrow
from libs.rpc.audit import RecordedCall
from libs.rpc.recording import BEGUN, Record

APPEND = """
INSERT INTO audit_calls (call, actor, method, request, request_id, outcome) VALUES ($1, $2, $3, $4, $5, $6)
"""
NEWEST = """
SELECT begun.id AS number, call, begun.at AS began, ended.at AS ended, begun.actor, begun.method, begun.request,
    begun.request_id, coalesce(ended.outcome, '') AS outcome
FROM audit_calls AS begun LEFT JOIN LATERAL (
    SELECT at, outcome FROM audit_calls WHERE call = begun.call AND outcome <> begun.outcome
) AS ended ON true
WHERE begun.outcome = $1 AND ($2::bigint IS NULL OR begun.id < $2) AND ($3 = '' OR begun.actor = $3)
ORDER BY begun.id DESC LIMIT $4
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

    async def newest(self, *, before: int | None, actor: str, limit: int) -> Sequence[RecordedCall]:
        """Return calls with smaller numbers, the newest first; of one actor unless that is empty."""
        async with borrow(self._pool) as connection:
            rows = await connection.fetch(NEWEST, BEGUN, before, actor, limit)
        return [RecordedCall(**row) for row in rows]
