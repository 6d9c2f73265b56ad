"""Calls of people as rows of a chain that are added and never changed; each service's migrations make the table."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from libs.audit.chain import GENESIS, ChainKeys, Entry
from libs.database.errors import storage_errors
from libs.database.pool import Borrowed, Pool, borrow
from libs.rpc.audit import RecordedCall
from libs.rpc.recording import BEGUN, DENIED, PRUNED, Record

# Seconds for rows that others append before ours, and for ours.
WITHIN = 5.0
# What a row will say and follow. The request as the database will spell it, and its clock.
NEXT = """
SELECT coalesce(last.sequence, 0) + 1 AS sequence, coalesce(last.mac, $2) AS previous,
    clock_timestamp() AS at, $1::jsonb::text AS request
FROM (VALUES (1)) AS one LEFT JOIN (
    SELECT sequence, mac FROM audit_calls WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1
) AS last ON true
"""
# Nothing when somebody else has taken the place.
APPEND = """
INSERT INTO audit_calls
    (at, call, actor, method, request, request_id, outcome, sequence, key_id, previous, mac)
VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7, $8, $9, $10, $11)
ON CONFLICT (sequence) DO NOTHING RETURNING sequence
"""
# The outcomes of rows that are the first of their call, or the only one.
FIRSTS = (BEGUN, DENIED, PRUNED)
NEWEST = """
SELECT first.id AS number, call, first.at AS began, first.actor, first.method, first.request, first.request_id,
    CASE first.outcome WHEN 'BEGUN' THEN last.at ELSE first.at END AS ended,
    CASE first.outcome WHEN 'BEGUN' THEN coalesce(last.outcome, '') ELSE first.outcome END AS outcome
FROM audit_calls AS first LEFT JOIN LATERAL (
    SELECT at, outcome FROM audit_calls WHERE call = first.call AND outcome <> first.outcome
) AS last ON true
WHERE first.outcome = ANY ($1) AND ($2::bigint IS NULL OR first.id < $2) AND ($3 = '' OR first.actor = $3)
ORDER BY first.id DESC LIMIT $4
"""


class CallLog:
    """A trail in the schema of the pool's sessions.

    A row's place is taken by inserting it: of two replicas that want the same one, one looks again. No lock outlives a
    statement, so that a replica that is paused stops no other. Within a replica rows wait for each other.
    """

    def __init__(self, pool: Pool, keys: ChainKeys) -> None:
        self._pool = pool
        self._keys = keys
        self._turn = asyncio.Lock()

    async def append(self, record: Record) -> None:
        """Keep a record; raise StorageUnavailable when it is not kept."""
        with storage_errors():
            async with asyncio.timeout(WITHIN), self._turn, borrow(self._pool) as connection:
                while not await self._appended(connection, record):
                    pass

    async def _appended(self, connection: Borrowed, record: Record) -> bool:
        (place,) = await connection.fetch(NEXT, storable(record.request), GENESIS)
        entry = Entry(
            at=place["at"],
            call=record.call,
            actor=record.actor,
            method=record.method,
            request=place["request"],
            request_id=record.request_id,
            outcome=record.outcome,
        )
        seal = self._keys.seal(entry, place["previous"])
        said = (entry.at, entry.call, entry.actor, entry.method, entry.request, entry.request_id, entry.outcome)
        sealed = (place["sequence"], seal.key_id, seal.previous, seal.mac)
        return await connection.fetchval(APPEND, *said, *sealed) is not None

    async def newest(self, *, before: int | None, actor: str, limit: int) -> Sequence[RecordedCall]:
        """Return calls with smaller numbers, the newest first; of one actor unless that is empty."""
        async with borrow(self._pool) as connection:
            rows = await connection.fetch(NEWEST, FIRSTS, before, actor, limit)
        return [RecordedCall(**row) for row in rows]


def storable(value: Any) -> Any:
    """Return a value of JSON with a mark for each NUL, which jsonb cannot hold: a call is on record as it came."""
    match value:
        case str():
            return value.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        case Mapping():
            return {name: storable(one) for name, one in value.items()}
        case list():
            return [storable(one) for one in value]
    return value
