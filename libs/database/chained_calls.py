"""The rows of a chain of recorded calls, as they are verified and let go."""

import json
from collections.abc import Sequence

import asyncpg

from libs.audit.chain import GENESIS, ChainKeys, Checkpoint, Entry, Row, Seal
from libs.audit.verification import Begin, Loose
from libs.database.command_tag import rows_changed
from libs.database.pool import Pool, borrow

# Some, because the newest may be made up.
KEPT = """
SELECT *, request::text AS spelled FROM audit_calls
WHERE outcome = 'PRUNED' AND sequence IS NOT NULL ORDER BY sequence DESC LIMIT 100
"""
FIRST_SINCE = """
SELECT sequence, previous FROM audit_calls
WHERE at >= date_trunc('day', clock_timestamp()) - $1 * interval '1 day' AND sequence IS NOT NULL
    OR sequence = (SELECT max(sequence) FROM audit_calls)
ORDER BY sequence LIMIT 1
"""
FORGET = """
DELETE FROM audit_calls WHERE id = ANY (ARRAY(
    SELECT id FROM audit_calls WHERE id < (SELECT id FROM audit_calls WHERE sequence = $1)
    ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED))
"""
TAIL = "SELECT sequence, mac FROM audit_calls WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1"
PAGE = """
SELECT *, request::text AS spelled FROM audit_calls WHERE (sequence, id) > ($1, $2) ORDER BY sequence, id LIMIT $3
"""
MAC_AT = "SELECT mac FROM audit_calls WHERE sequence = $1"
HAS = "SELECT EXISTS (SELECT FROM audit_calls WHERE mac = $1)"
CONTINUES = "SELECT EXISTS (SELECT FROM audit_calls WHERE previous = $1 AND id <> $2)"
# A row has no place, or one before the kept part; those that were there before it wait to be deleted, or had none yet.
LOOSE = """
WITH first AS (SELECT id FROM audit_calls WHERE sequence >= $1 ORDER BY sequence LIMIT 1),
    outside AS (SELECT id, sequence, id > (SELECT id FROM first) AS later FROM audit_calls
        WHERE sequence IS NULL OR sequence < $1)
SELECT count(*) FILTER (WHERE sequence IS NULL AND later IS NOT TRUE) AS older, bool_or(later) AS later, (
    SELECT coalesce(max(sequence), 0) + 1 FROM audit_calls WHERE id < (SELECT min(id) FROM outside WHERE later)
) AS place FROM outside
"""


class ChainedCalls:
    """The chain in the schema of the pool's sessions."""

    def __init__(self, pool: Pool, keys: ChainKeys) -> None:
        self._pool = pool
        self._keys = keys

    async def begin(self) -> Begin:
        """Return where the kept part begins."""
        async with borrow(self._pool) as connection:
            kept = [row_of(row) for row in await connection.fetch(KEPT)]
        return next((begin_told(row) for row in kept if self._keys.made(row)), Begin(1, GENESIS))

    async def first_since(self, days: int) -> Begin | None:
        """Return the first row of the last so many days, else the last row; None without any."""
        async with borrow(self._pool) as connection:
            row = await connection.fetchrow(FIRST_SINCE, days)
        return Begin(row["sequence"], row["previous"]) if row else None

    async def forget(self, most: int) -> int:
        """Delete up to so many rows from before the kept part; return how many."""
        begin = await self.begin()
        if begin.sequence == 1:
            return 0
        async with borrow(self._pool) as connection:
            return rows_changed(await connection.execute(FORGET, begin.sequence, most))

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

    async def loose(self, begin: Begin) -> Loose:
        """Return what is outside the kept part of the chain."""
        async with borrow(self._pool) as connection:
            (row,) = await connection.fetch(LOOSE, begin.sequence)
        return Loose(older=row["older"], place=row["place"] if row["later"] else None)


def begin_told(row: Row) -> Begin:
    """Return the begin that a sealed row tells of."""
    told = json.loads(row.entry.request)
    return Begin(told["keptFrom"], bytes.fromhex(told["previous"]))


def row_of(row: asyncpg.Record) -> Row:
    """Return a row as it is verified."""
    entry = Entry(
        at=row["at"],
        call=row["call"],
        actor=row["actor"],
        method=row["method"],
        request=row["spelled"],
        request_id=row["request_id"],
        outcome=row["outcome"],
    )
    seal = Seal(key_id=row["key_id"] or "", previous=row["previous"] or b"", mac=row["mac"] or b"")
    return Row(id=row["id"], sequence=row["sequence"], entry=entry, seal=seal)
