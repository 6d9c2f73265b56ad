"""One item ends: its row, its log line, its store and its run change in one transaction.

The run's row is locked after everything else. What is read behind that lock has seen every item that ended before, so
the count of a store's open items, and with it every counter, is exact.
"""

import asyncpg

from libs.database.pool import Borrowed
from services.sync.adapters.postgres.channels import NOTIFY_RUN
from services.sync.adapters.postgres.item_key import WHERE_KEY, WHERE_OWN, key_values
from services.sync.adapters.postgres.run_ending import log_ended_job, to_counts
from services.sync.domain.items import Claim, Ending, LostItem
from services.sync.domain.jobs import LOG_NAMES, Job
from services.sync.domain.outcomes import Outcome, RunState, final_state, worst
from services.sync.domain.progress import Tally
from services.sync.domain.subjects import SubjectKind

END = f"""
UPDATE sync_items SET
    state = 'ended', outcome = $6, reason = $7, message = $8, raw_error = $9, records = $10, refreshed = $11,
    next_attempt_at = NULL, ended_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE {WHERE_OWN}
RETURNING (extract(epoch FROM ended_at - first_started_at) * 1000)::bigint AS duration_ms
"""

LOG = """
INSERT INTO sync_logs (run_id, subject_kind, subject_id, job_name, status, message, raw_error, duration_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

SYNCED = "UPDATE stores SET last_sync_at = clock_timestamp() WHERE store_code = $1"

# Takes the lock behind which everything is exact.
ADVANCE_RUN = """
UPDATE sync_runs SET sequence = sequence + 1, videos = videos + $2 WHERE id = $1
RETURNING sequence, subject_id IS NULL AS covers_all
"""

SIBLINGS = """
SELECT count(*) FILTER (WHERE state <> 'ended') AS open_items,
       array_agg(outcome) FILTER (WHERE state = 'ended') AS outcomes
FROM sync_items WHERE run_id = $1 AND subject_kind = $2 AND subject_id = $3
"""

PLACE = f"UPDATE sync_items SET ended_sequence = $5, closes_subject = $6 WHERE {WHERE_KEY}"

COUNT_JOB = """
UPDATE sync_run_jobs SET
    processed = processed + 1,
    succeeded = succeeded + ($3 = 'SUCCESS')::int,
    failed = failed + ($3 = 'FAILED')::int,
    skipped = skipped + ($3 = 'SKIPPED')::int,
    refreshed = refreshed + $4::boolean::int
WHERE run_id = $1 AND job = $2
RETURNING *
"""

COUNT_SUBJECT = """
UPDATE sync_runs SET
    processed = processed + ($2 <> '')::int,
    succeeded = succeeded + ($2 = 'SUCCESS')::int,
    failed = failed + ($2 = 'FAILED')::int,
    skipped = skipped + ($2 = 'SKIPPED')::int
WHERE id = $1
RETURNING processed, total, succeeded, failed
"""

FINISH = "UPDATE sync_runs SET state = $2, finished_at = clock_timestamp() WHERE id = $1"

ANNOUNCE = f"SELECT {NOTIFY_RUN.format('$1')}"


async def end_item(connection: Borrowed, claim: Claim, ending: Ending) -> Tally:
    """End an item within the caller's transaction and return how far its run is; LostItem."""
    await _end_row(connection, claim, ending)
    run_id, subject = claim.key.run_id, claim.key.subject
    videos = ending.records if claim.key.job is Job.VIDEO else 0
    run = await connection.fetchrow(ADVANCE_RUN, run_id, videos)
    if run is None:
        raise LostItem
    siblings = await connection.fetchrow(SIBLINGS, run_id, subject.kind.value, subject.id)
    await _count_job(connection, claim, ending, covers_all=run["covers_all"])
    closes = siblings is not None and not siblings["open_items"]
    await connection.execute(PLACE, *key_values(claim.key), run["sequence"], closes)
    outcome = worst(map(Outcome, siblings["outcomes"])).value if siblings is not None and closes else ""
    return await _count_subject(connection, run_id, outcome)


async def _end_row(connection: Borrowed, claim: Claim, ending: Ending) -> None:
    duration_ms = await connection.fetchval(
        END,
        *key_values(claim.key),
        claim.fence,
        ending.outcome.value,
        ending.reason,
        ending.message,
        ending.raw_error,
        ending.records,
        ending.refreshed,
    )
    if duration_ms is None:
        raise LostItem
    key = claim.key
    await connection.execute(
        LOG,
        key.run_id,
        key.subject.kind.value,
        key.subject.id,
        LOG_NAMES[key.job],
        ending.outcome.value,
        ending.message,
        ending.raw_error,
        duration_ms,
    )
    if (
        key.subject.kind is SubjectKind.STORE
        and ending.outcome is Outcome.SUCCESS
        and key.job is not Job.REFRESH_TOKENS
    ):
        await connection.execute(SYNCED, key.subject.id)


async def _count_job(connection: Borrowed, claim: Claim, ending: Ending, *, covers_all: bool) -> None:
    row = await connection.fetchrow(
        COUNT_JOB, claim.key.run_id, claim.key.job.value, ending.outcome.value, ending.refreshed
    )
    if row is not None and covers_all and row["processed"] == row["total"]:
        await log_ended_job(connection, claim.key.run_id, to_counts(row))


async def _count_subject(connection: Borrowed, run_id: str, outcome: str) -> Tally:
    row = await connection.fetchrow(COUNT_SUBJECT, run_id, outcome)
    if row is None:
        raise LostItem
    is_final = row["processed"] == row["total"]
    if is_final:
        await connection.execute(FINISH, run_id, end_state(row).value)
    await connection.execute(ANNOUNCE, run_id)
    return Tally(run_id=run_id, processed=row["processed"], total=row["total"], is_final=is_final)


def end_state(row: asyncpg.Record) -> RunState:
    """Return how the run of this row ended."""
    return final_state(succeeded=row["succeeded"], failed=row["failed"])
