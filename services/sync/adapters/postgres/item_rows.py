"""The table sync_items: claims, and everything that gives a claim up."""

import asyncpg

from libs.database.pool import Borrowed
from libs.errors import TokhubError
from services.sync.adapters.postgres.channels import NOTIFY_RUN
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.item_ending import end_item
from services.sync.adapters.postgres.item_key import WHERE_KEY, WHERE_OWN, key_values
from services.sync.domain.items import Claim, Ending, ItemKey, LostItem, NotNow
from services.sync.domain.progress import Tally
from services.sync.domain.rate_limit import Lane

BUSY_ELSEWHERE = NotNow(seconds=1.0)  # another run works on the same job of the same subject

CLAIM = f"""
WITH claimed AS (
    UPDATE sync_items SET
        state = 'running', fence = fence + 1, attempt = attempt + 1, next_attempt_at = NULL,
        first_started_at = coalesce(first_started_at, clock_timestamp()), updated_at = clock_timestamp()
    WHERE {WHERE_KEY} AND state <> 'ended' AND coalesce(next_attempt_at, '-infinity') <= clock_timestamp()
    RETURNING fence, attempt, cursor, pages, records
), started AS (
    UPDATE sync_runs SET state = 'running', started_at = clock_timestamp(), sequence = sequence + 1
    FROM claimed WHERE id = $1 AND sync_runs.state = 'queued'
    RETURNING {NOTIFY_RUN.format("id")}
)
SELECT claimed.*, run.snapshot_date, run.is_of_one, (SELECT count(*) FROM started) AS starts
FROM claimed, (SELECT snapshot_date, subject_id IS NOT NULL AS is_of_one FROM sync_runs WHERE id = $1) run
"""

DUE_IN = f"""
SELECT extract(epoch FROM coalesce(next_attempt_at, clock_timestamp()) - clock_timestamp())::float8
FROM sync_items WHERE {WHERE_KEY} AND state <> 'ended'
"""

PUT_OFF = f"""
UPDATE sync_items SET
    state = 'queued', next_attempt_at = clock_timestamp() + make_interval(secs => $6), reason = $7, message = $8,
    updated_at = clock_timestamp()
WHERE {WHERE_OWN}
"""

GIVE_BACK = f"""
UPDATE sync_items SET state = 'queued', attempt = attempt - 1, updated_at = clock_timestamp() WHERE {WHERE_OWN}
"""


class ItemRows:
    """Keeps items; a claim is good until the next one raises the fence."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, key: ItemKey) -> Claim | NotNow | None:
        """Take the item; NotNow while it must wait, None when it has ended or never was."""
        async with self._database.borrow() as connection:
            try:
                row = await connection.fetchrow(CLAIM, *key_values(key))
            except asyncpg.UniqueViolationError:
                return BUSY_ELSEWHERE
            return to_claim(key, row) if row else await due_in(connection, key)

    async def end(self, claim: Claim, ending: Ending) -> Tally:
        """End the item with its log line, its store and its run, all in one transaction; LostItem."""
        async with self._database.transaction() as connection:
            return await end_item(connection, claim, ending)

    async def put_off(self, claim: Claim, *, seconds: float, error: TokhubError) -> None:
        """Let the item wait for another attempt, saying why; LostItem."""
        await self._let_go(PUT_OFF, claim, seconds, error.reason.value, error.message)

    async def give_back(self, claim: Claim) -> None:
        """Let the item go, as if this attempt had not been; LostItem."""
        await self._let_go(GIVE_BACK, claim)

    async def _let_go(self, statement: str, claim: Claim, *values: object) -> None:
        async with self._database.borrow() as connection:
            done = await connection.execute(statement, *key_values(claim.key), claim.fence, *values)
        if done == "UPDATE 0":
            raise LostItem


async def due_in(connection: Borrowed, key: ItemKey) -> NotNow | None:
    """Return when an item that was put off may be claimed; None when it has ended or never was."""
    seconds = await connection.fetchval(DUE_IN, *key_values(key))
    return None if seconds is None else NotNow(seconds=max(seconds, 0.05))


def to_claim(key: ItemKey, row: asyncpg.Record) -> Claim:
    """Return the claim in a row of CLAIM."""
    return Claim(
        key=key,
        fence=row["fence"],
        attempt=row["attempt"],
        cursor=row["cursor"],
        pages=row["pages"],
        records=row["records"],
        snapshot_date=row["snapshot_date"],
        lane=Lane.INTERACTIVE if row["is_of_one"] else Lane.BULK,
    )
