"""The table sync_items: claims, and everything that gives a claim up."""

from collections.abc import Sequence

import asyncpg

from libs.database.pool import Borrowed
from libs.database.repeat import repeated
from libs.errors import TokhubError
from services.sync.adapters.pace import Pace
from services.sync.adapters.postgres.arrays import columns, parameters
from services.sync.adapters.postgres.channels import NOTIFY_RUN
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.item_ending import EndingItem, end_items
from services.sync.adapters.postgres.item_key import WHERE_OWN, key_values
from services.sync.adapters.together import Together
from services.sync.domain.items import Claim, Ending, ItemKey, LostItem, NotNow
from services.sync.domain.progress import Tally
from services.sync.domain.rate_limit import Lane

BUSY_ELSEWHERE = NotNow(seconds=1.0)  # another run works on the same job of the same subject

KEYS = f"""
unnest({parameters(1, "uuid text text text")}) WITH ORDINALITY
    AS key (run_id, job, subject_kind, subject_id, place)
"""

# Locked in the order of their key, as everybody does who locks more than one.
CLAIM = f"""
WITH wanted AS (
    SELECT item.run_id, item.job, item.subject_kind, item.subject_id, key.place
    FROM sync_items item JOIN {KEYS} USING (run_id, job, subject_kind, subject_id)
    WHERE item.state <> 'ended' AND coalesce(item.next_attempt_at, '-infinity') <= clock_timestamp()
    ORDER BY run_id, job, subject_kind, subject_id FOR UPDATE OF item
), claimed AS (
    UPDATE sync_items item SET
        state = 'running', fence = fence + 1, attempt = attempt + 1, next_attempt_at = NULL,
        first_started_at = coalesce(first_started_at, clock_timestamp()), updated_at = clock_timestamp()
    FROM wanted
    WHERE item.run_id = wanted.run_id AND item.job = wanted.job AND item.subject_kind = wanted.subject_kind
      AND item.subject_id = wanted.subject_id AND item.state <> 'ended'
    RETURNING item.*, wanted.place
), started AS (
    UPDATE sync_runs SET state = 'running', started_at = clock_timestamp(), sequence = sequence + 1
    WHERE id IN (SELECT run_id FROM claimed) AND state = 'queued'
    RETURNING id, {NOTIFY_RUN.format("id")}
)
SELECT claimed.place, fence, attempt, cursor, pages, records,
       run.snapshot_date, run.subject_id IS NOT NULL AS is_of_one, started.id IS NOT NULL AS starts
FROM claimed JOIN sync_runs run ON run.id = claimed.run_id LEFT JOIN started ON started.id = claimed.run_id
"""

DUE_IN = f"""
SELECT place, extract(epoch FROM coalesce(next_attempt_at, clock_timestamp()) - clock_timestamp())::float8 AS seconds
FROM sync_items item JOIN {KEYS} USING (run_id, job, subject_kind, subject_id)
WHERE state <> 'ended'
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


MOST = 200  # items a statement
# An end is a transaction of ten statements, and nothing at TikTok waits for it.
ENDS_APART = 0.2  # seconds


class ItemRows:
    """Keeps items; a claim is good until the next one raises the fence."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claims: Together[ItemKey, Claim | NotNow | None] = Together(self._claim, most=MOST)
        self._endings: Together[EndingItem, Tally] = Together(self._end, most=MOST, pace=Pace(ENDS_APART))

    async def claim(self, key: ItemKey) -> Claim | NotNow | None:
        """Take the item; NotNow while it must wait, None when it has ended or never was."""
        return await self._claims.call(key)

    async def end(self, claim: Claim, ending: Ending) -> Tally:
        """End the item with its log line, its store and its run, all in one transaction; LostItem."""
        return await self._endings.call(EndingItem(claim, ending))

    @repeated
    async def _claim(self, keys: Sequence[ItemKey]) -> list[Claim | NotNow | Exception | None]:
        try:
            async with self._database.borrow() as connection:
                return list(await claim_items(connection, keys))
        except asyncpg.UniqueViolationError:
            if len(keys) == 1:
                return [BUSY_ELSEWHERE]
            # One of them is at work in another run: the others need not wait for it.
            raise

    @repeated
    async def _end(self, items: Sequence[EndingItem]) -> list[Tally | Exception]:
        outcomes: dict[int, Tally | Exception] = {}
        async with self._database.transaction() as connection:
            # In one order everywhere, for every run's row is locked.
            for run_id in sorted({item.key.run_id for item in items}):
                of_run = {place: item for place, item in enumerate(items) if item.key.run_id == run_id}
                ended = await end_items(connection, run_id, list(of_run.values()))
                outcomes.update(zip(of_run, ended, strict=True))
        return [outcomes[place] for place in range(len(items))]

    async def put_off(self, claim: Claim, *, seconds: float, error: TokhubError) -> None:
        """Let the item wait for another attempt, saying why; LostItem."""
        await self._let_go(PUT_OFF, claim, seconds, error.reason.value, error.message)

    async def give_back(self, claim: Claim) -> None:
        """Let the item go, as if this attempt had not been; LostItem."""
        await self._let_go(GIVE_BACK, claim)

    @repeated
    async def _let_go(self, statement: str, claim: Claim, *values: object) -> None:
        async with self._database.borrow() as connection:
            done = await connection.execute(statement, *key_values(claim.key), claim.fence, *values)
        if done == "UPDATE 0":
            raise LostItem


async def claim_items(connection: Borrowed, keys: Sequence[ItemKey]) -> list[Claim | NotNow | None]:
    """Take the items that may be taken; say of the others when, None of those that have ended or never were."""
    wanted = columns([key_values(key) for key in keys])
    found: dict[int, Claim | NotNow] = {
        row["place"]: to_claim(keys[row["place"] - 1], row) for row in await connection.fetch(CLAIM, *wanted)
    }
    if len(found) < len(keys):
        for row in await connection.fetch(DUE_IN, *wanted):
            found.setdefault(row["place"], NotNow(seconds=max(row["seconds"], 0.05)))
    return [found.get(place) for place in range(1, len(keys) + 1)]


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
