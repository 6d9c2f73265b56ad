"""Connections that are due for a refresh in the background."""

from collections.abc import Sequence

from libs.database.pool import Pool, borrow
from services.token.adapters.rows import COLUMNS, connection_of
from services.token.domain.connection import Connection, Provider

# What a claim would refuse is not worth a try; see CLAIM for why another process's open call is left alone.
DUE = f"""
    SELECT {COLUMNS} FROM connections
    WHERE status IN ('ACTIVE', 'SUSPECT') AND provider = ANY ($2) AND (failures > 0) = $3
      AND refresh_after < clock_timestamp()
      AND (lease_until IS NULL OR lease_until < clock_timestamp())
      AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp())
      AND (intent_generation IS DISTINCT FROM generation OR intent_at < clock_timestamp() - interval '2 minutes'
           OR access_expires_at < clock_timestamp() + interval '30 seconds')
    ORDER BY refresh_after LIMIT $1
"""


class PostgresDue:
    """Implements DuePort."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def due(self, size: int, providers: Sequence[Provider]) -> Sequence[Connection]:
        """Return connections that are due, those longest due first and those that have failed last."""
        async with borrow(self._pool) as database:
            rows = await database.fetch(DUE, size, providers, False)
            if len(rows) < size:
                rows += await database.fetch(DUE, size - len(rows), providers, True)
        return [connection_of(row) for row in rows]
