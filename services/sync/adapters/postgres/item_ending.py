"""Items of a run end: their rows, their log lines, their stores and the run change in one transaction.

The run's row is locked after everything else. What is read behind that lock has seen every item that ended before, so
the count of a store's open items, and with it every counter, is exact. Items that end at the same moment do so
together: thirty cost hardly more than one, and nobody waits for the run's row thirty times.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from libs.database.pool import Borrowed
from services.sync.adapters.postgres.arrays import array, columns, parameters
from services.sync.adapters.postgres.channels import NOTIFY_RUN
from services.sync.adapters.postgres.run_ending import log_ended_job, to_counts
from services.sync.domain.items import Claim, Ending, ItemKey, LostItem
from services.sync.domain.jobs import LOG_NAMES, Job
from services.sync.domain.outcomes import Outcome, RunState, final_state, worst
from services.sync.domain.progress import Tally
from services.sync.domain.subjects import SubjectKind

# Locked in the order of their key, as everybody does who locks more than one. Items are looked up one by one, which
# LATERAL says: to the planner no item is running, and it would compare each that is with each that ends.
END = f"""
WITH ending AS (
    SELECT * FROM unnest({parameters(2, "text text text bigint text text text text bigint boolean text")})
        WITH ORDINALITY AS ending (
            job, subject_kind, subject_id, fence, outcome, reason, message, raw_error, records, refreshed, name, place)
), held AS (
    SELECT ending.*
    FROM (SELECT * FROM ending ORDER BY job COLLATE "C", subject_kind COLLATE "C", subject_id COLLATE "C") AS ending,
    LATERAL (
        SELECT FROM sync_items item
        WHERE item.run_id = $1 AND item.job = ending.job AND item.subject_kind = ending.subject_kind
          AND item.subject_id = ending.subject_id AND item.fence = ending.fence AND item.state = 'running'
        FOR UPDATE
    ) AS item
), ended AS (
    UPDATE sync_items item SET
        state = 'ended', outcome = held.outcome, reason = held.reason, message = held.message,
        raw_error = held.raw_error, records = held.records, refreshed = held.refreshed,
        next_attempt_at = NULL, ended_at = clock_timestamp(), updated_at = clock_timestamp()
    FROM held
    WHERE item.run_id = $1 AND item.job = held.job AND item.subject_kind = held.subject_kind
      AND item.subject_id = held.subject_id AND item.fence = held.fence
    RETURNING held.*, (extract(epoch FROM item.ended_at - item.first_started_at) * 1000)::bigint AS duration_ms
), logged AS (
    INSERT INTO sync_logs (run_id, subject_kind, subject_id, job_name, status, message, raw_error, duration_ms)
    SELECT $1, subject_kind, subject_id, name, outcome, message, raw_error, duration_ms FROM ended
)
SELECT place FROM ended
"""

SYNCED = f"""
UPDATE stores SET last_sync_at = clock_timestamp() WHERE store_code IN (
    SELECT store_code FROM stores WHERE store_code = ANY ({parameters(1, "text")}) ORDER BY store_code FOR UPDATE)
"""

# Takes the lock behind which everything is exact.
ADVANCE_RUN = """
UPDATE sync_runs SET sequence = sequence + $2, videos = videos + $3 WHERE id = $1
RETURNING sequence, subject_id IS NULL AS covers_all
"""

SIBLINGS = f"""
SELECT subject_kind, subject_id, count(*) FILTER (WHERE state <> 'ended') AS open_items,
       array_agg(outcome) FILTER (WHERE state = 'ended') AS outcomes
FROM sync_items
WHERE run_id = $1 AND (subject_kind, subject_id) IN (SELECT * FROM unnest({parameters(2, "text text")}))
GROUP BY subject_kind, subject_id
"""

PLACE = f"""
UPDATE sync_items item SET ended_sequence = place.sequence, closes_subject = place.closes
FROM unnest({parameters(2, "text text text bigint boolean")})
    AS place (job, subject_kind, subject_id, sequence, closes)
WHERE item.run_id = $1 AND item.job = place.job AND item.subject_kind = place.subject_kind
  AND item.subject_id = place.subject_id
"""

COUNT_JOBS = f"""
UPDATE sync_run_jobs part SET
    processed = part.processed + ended.processed, succeeded = part.succeeded + ended.succeeded,
    failed = part.failed + ended.failed, skipped = part.skipped + ended.skipped,
    refreshed = part.refreshed + ended.refreshed
FROM unnest({parameters(2, "text bigint bigint bigint bigint bigint")})
    AS ended (job, processed, succeeded, failed, skipped, refreshed)
WHERE part.run_id = $1 AND part.job = ended.job
RETURNING part.*
"""

COUNT_SUBJECTS = f"""
UPDATE sync_runs SET
    processed = processed + $2, succeeded = succeeded + $3, failed = failed + $4, skipped = skipped + $5
WHERE id = $1
RETURNING processed, total, succeeded, failed, {NOTIFY_RUN.format("id")}
"""

FINISH = "UPDATE sync_runs SET state = $2, finished_at = clock_timestamp() WHERE id = $1"


@dataclass(frozen=True)
class EndingItem:
    """An item and how it ends."""

    claim: Claim
    ending: Ending

    @property
    def key(self) -> ItemKey:
        """Which item."""
        return self.claim.key


@dataclass(frozen=True)
class Places:
    """The items' numbers in the run's sequence, and of the stores that are done with them, how each came out."""

    rows: list[tuple[str, str, str, int, bool]]
    outcomes: list[Outcome]


async def end_items(connection: Borrowed, run_id: str, items: Sequence[EndingItem]) -> list[Tally | Exception]:
    """End items of one run within the caller's transaction; how far the run is for each, LostItem for those lost."""
    held = await _end_rows(connection, run_id, items)
    ended = list(held.values())
    if not ended:
        return [LostItem()] * len(items)
    videos = sum(item.ending.records for item in ended if item.key.job is Job.VIDEO)
    run = await connection.fetchrow(ADVANCE_RUN, run_id, len(ended), videos)
    if run is None:
        return [LostItem()] * len(items)
    places = await _places(connection, run_id, ended, run["sequence"])
    await connection.execute(PLACE, run_id, *columns(places.rows))
    await _count_jobs(connection, run_id, ended, has_job_lines=run["covers_all"])
    tally = await _count_subjects(connection, run_id, places.outcomes)
    return [tally if place in held else LostItem() for place in range(len(items))]


async def _end_rows(connection: Borrowed, run_id: str, items: Sequence[EndingItem]) -> dict[int, EndingItem]:
    """Return the items that were not lost, by their places."""
    rows = await connection.fetch(END, run_id, *columns([row_of(item) for item in items]))
    held = {place: items[place] for place in sorted(row["place"] - 1 for row in rows)}
    synced = {item.key.subject.id for item in held.values() if shows_as_synced(item)}
    if synced:
        await connection.execute(SYNCED, array(list(synced)))
    return held


def row_of(item: EndingItem) -> tuple[object, ...]:
    """Return an item as END takes it."""
    key, ending = item.key, item.ending
    return (
        *(str(key.job), str(key.subject.kind), key.subject.id, item.claim.fence),
        *(str(ending.outcome), ending.reason, ending.message, ending.raw_error, ending.records, ending.refreshed),
        LOG_NAMES[key.job],
    )


def shows_as_synced(item: EndingItem) -> bool:
    """Return whether its store has new figures now."""
    is_store = item.key.subject.kind is SubjectKind.STORE
    return is_store and item.ending.outcome is Outcome.SUCCESS and item.key.job is not Job.REFRESH_TOKENS


async def _places(connection: Borrowed, run_id: str, ended: Sequence[EndingItem], sequence: int) -> Places:
    last = {item.key.subject: item.key for item in ended}
    wanted = columns([(str(subject.kind), subject.id) for subject in last])
    rows = await connection.fetch(SIBLINGS, run_id, *wanted)
    done = {(row["subject_kind"], row["subject_id"]): row["outcomes"] for row in rows if not row["open_items"]}
    places = []
    for number, item in enumerate(ended, start=sequence - len(ended) + 1):
        job, subject = item.key.job, item.key.subject
        closes = (subject.kind, subject.id) in done and last[subject] == item.key
        places.append((str(job), str(subject.kind), subject.id, number, closes))
    return Places(places, [worst(map(Outcome, outcomes)) for outcomes in done.values()])


async def _count_jobs(connection: Borrowed, run_id: str, ended: Sequence[EndingItem], *, has_job_lines: bool) -> None:
    endings = {job: [item.ending for item in ended if item.key.job is job] for job in {item.key.job for item in ended}}
    counts = [
        (job.value, *counted([ending.outcome for ending in of_job]), sum(ending.refreshed for ending in of_job))
        for job, of_job in endings.items()
    ]
    for row in await connection.fetch(COUNT_JOBS, run_id, *columns(counts)):
        if has_job_lines and row["processed"] == row["total"]:
            await log_ended_job(connection, run_id, to_counts(row))


async def _count_subjects(connection: Borrowed, run_id: str, outcomes: Sequence[Outcome]) -> Tally:
    row = await connection.fetchrow(COUNT_SUBJECTS, run_id, *counted(outcomes))
    if row is None:
        raise LostItem
    is_final = row["processed"] == row["total"]
    if is_final:
        await connection.execute(FINISH, run_id, end_state(row).value)
    return Tally(run_id=run_id, processed=row["processed"], total=row["total"], is_final=is_final)


def counted(outcomes: Sequence[Outcome]) -> tuple[int, int, int, int]:
    """Return how many there are, and how many succeeded, failed and were skipped."""
    counts = Counter(outcomes)
    return len(outcomes), counts[Outcome.SUCCESS], counts[Outcome.FAILED], counts[Outcome.SKIPPED]


def end_state(row: asyncpg.Record) -> RunState:
    """Return how the run of this row ended."""
    return final_state(succeeded=row["succeeded"], failed=row["failed"])
