"""The rows of a chain of recorded calls, as they are verified."""

from collections.abc import Sequence

import asyncpg

from libs.audit.chain import GENESIS, Checkpoint, Entry, Row, Seal
from libs.audit.verification import Begin, Loose
from libs.database.pool import Pool, borrow

TAIL = "SELECT sequence, mac FROM audit_calls WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1"
PAGE = """
SELECT id, sequence, at, call, actor, method, request::text AS request, request_id, outcome, key_id, previous, mac
FROM audit_calls WHERE (sequence, id) > ($1, $2) ORDER BY sequence, id LIMIT $3
"""
MAC_AT = "SELECT mac FROM audit_calls WHERE sequence = $1"
HAS = "SELECT EXISTS (SELECT FROM audit_calls WHERE mac = $1)"
CONTINUES = "SELECT EXISTS (SELECT FROM audit_calls WHERE previous = $1 AND id <> $2)"
LOOSE = """
WITH chain AS (SELECT min(id) AS first FROM audit_calls WHERE sequence IS NOT NULL),
    outside AS (SELECT id, id > (SELECT first FROM chain) AS later FROM audit_calls WHERE sequence IS NULL)
SELECT count(*) FILTER (WHERE NOT coalesce(later, false)) AS older, (
    SELECT coalesce(max(sequence), 0) + 1 FROM audit_calls WHERE id < (SELECT min(id) FROM outside WHERE later)
) AS place, bool_or(later) AS any_later FROM outside
"""


class ChainedCalls:
    """The chain in the schema of the pool's sessions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self) -> Begin:
        """Return where the kept part begins."""
        return Begin(1, GENESIS)

    async def tail(self) -> Checkpoint | None:
        """Return the last row, None without any."""
        async with borrow(self._pool) as connection:
            row = await connection.fetchrow(TAIL)
        return Checkpoint(row["sequence"], row["mac"]) if row else None

    async def page(self, after: tuple[int, int], limit: int) -> Sequence[Row]:
        """Return the rows behind a sequence and id, in that order."""
        async with borrow(self._pool) as connection:
            return [row_of(row) for row in await connection.fetch(PAGE, *after, limit)]

    async def mac_at(self, sequence: int) -> bytes | None:
        """Return the mac of a row, None without that row."""
        async with borrow(self._pool) as connection:
            mac: bytes | None = await connection.fetchval(MAC_AT, sequence)
        return mac

    async def has(self, mac: bytes) -> bool:
        """Return whether a row has this mac."""
        async with borrow(self._pool) as connection:
            return bool(await connection.fetchval(HAS, mac))

    async def continues(self, mac: bytes, but: int) -> bool:
        """Return whether a row, other than the one with this id, follows the one with this mac."""
        async with borrow(self._pool) as connection:
            return bool(await connection.fetchval(CONTINUES, mac, but))

    async def loose(self) -> Loose:
        """Return what is outside the chain."""
        async with borrow(self._pool) as connection:
            (row,) = await connection.fetch(LOOSE)
        return Loose(older=row["older"], place=row["place"] if row["any_later"] else None)


def row_of(row: asyncpg.Record) -> Row:
    """Return a row as it is verified."""
    entry = Entry(
        at=row["at"],
        call=row["call"],
        actor=row["actor"],
        method=row["method"],
        request=row["request"],
        request_id=row["request_id"],
        outcome=row["outcome"],
    )
    seal = Seal(key_id=row["key_id"], previous=row["previous"], mac=row["mac"])
    return Row(id=row["id"], sequence=row["sequence"], entry=entry, seal=seal)
