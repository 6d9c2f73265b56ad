"""The sealed columns of all rows in PostgreSQL, read by number and swapped by comparing bytes."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog

from libs.database.command_tag import rows_changed
from libs.database.errors import sqlstate_of
from libs.database.pool import Pool, borrow
from libs.database.repeat import repeated
from libs.errors import StorageUnavailable
from services.token.adapters.rows import owner_of
from services.token.adapters.sealed_columns import HOLDS_TOKENS
from services.token.core.sealed_rows import Resealed, SealedRow
from services.token.core.vault import SealedTokens
from services.token.domain.connection import Version

log = structlog.get_logger()

COLUMNS = "number, id, owner_kind, owner_id, epoch, generation, access_token, refresh_token"
OUTSIDE = f"""
    {HOLDS_TOKENS} AND NOT (substring(access_token FROM 1 FOR length($1::bytea)) = $1
        AND substring(refresh_token FROM 1 FOR length($1::bytea)) = $1)
"""

PAGE = f"SELECT {COLUMNS} FROM connections WHERE number > $1 AND {HOLDS_TOKENS} ORDER BY number LIMIT $2"
COUNT_OUTSIDE = f"SELECT count(*) FROM connections WHERE {OUTSIDE}"
PAGE_OUTSIDE = f"SELECT {COLUMNS} FROM connections WHERE {OUTSIDE} AND number > $2 ORDER BY number LIMIT $3"

# The bytes themselves are compared: no two sealings are alike, so whoever changed the row meanwhile has won.
# Locked in the order of their ids, as by everybody who locks several.
SWAP = """
    WITH locked AS MATERIALIZED (SELECT id FROM connections WHERE id = ANY ($1) ORDER BY id FOR UPDATE)
    UPDATE connections AS row SET access_token = fresh.access, refresh_token = fresh.refresh
    FROM locked JOIN unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[])
        AS fresh (id, access_before, refresh_before, access, refresh) USING (id)
    WHERE row.id = fresh.id AND row.access_token = fresh.access_before AND row.refresh_token = fresh.refresh_before
"""


class PostgresSealedRows:
    """Implements SealedRowsPort."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, after: int, size: int) -> Sequence[SealedRow]:
        """Return rows by number."""
        async with borrow(self._pool) as database:
            return [row_of(row) for row in await database.fetch(PAGE, after, size)]

    async def count_outside(self, header: bytes) -> int:
        """Return how many rows are not under the key of a header."""
        async with borrow(self._pool) as database:
            count: int = await database.fetchval(COUNT_OUTSIDE, header)
        return count

    async def page_outside(self, header: bytes, after: int, size: int) -> Sequence[SealedRow]:
        """Return rows by number that are not under the key of a header."""
        async with borrow(self._pool) as database:
            return [row_of(row) for row in await database.fetch(PAGE_OUTSIDE, header, after, size)]

    async def swap(self, resealed: Sequence[Resealed]) -> int:
        """Store tokens sealed anew where nobody was faster; a row that cannot be written is left, and named."""
        try:
            return await self._swap(resealed)
        except (asyncpg.PostgresError, StorageUnavailable) as error:
            if not is_about_rows(error):
                raise
        return sum([await self._swap_alone(one) for one in resealed])

    async def _swap_alone(self, one: Resealed) -> int:
        try:
            return await self._swap([one])
        except (asyncpg.PostgresError, StorageUnavailable) as error:
            if not is_about_rows(error):
                raise
            log.error("row cannot be sealed anew", connection=str(one.row.connection_id), sqlstate=sqlstate_of(error))
            return 0

    @repeated
    async def _swap(self, resealed: Sequence[Resealed]) -> int:
        async with borrow(self._pool) as database:
            tag = await database.execute(
                SWAP,
                [one.row.connection_id for one in resealed],
                [one.row.tokens.access for one in resealed],
                [one.row.tokens.refresh for one in resealed],
                [one.tokens.access for one in resealed],
                [one.tokens.refresh for one in resealed],
            )
        return rows_changed(tag)


def is_about_rows(error: Exception) -> bool:
    """Return whether an error may concern one row only: its data, a trigger on it, or who holds it."""
    state = sqlstate_of(error)
    return state[:2] in ("22", "23", "P0", "40") or state in ("55P03", "57014")


def row_of(row: Any) -> SealedRow:
    """Return a row of COLUMNS."""
    return SealedRow(
        number=row["number"],
        connection_id=row["id"],
        owner=owner_of(row),
        version=Version(epoch=row["epoch"], generation=row["generation"]),
        tokens=SealedTokens(access=row["access_token"], refresh=row["refresh_token"]),
    )
