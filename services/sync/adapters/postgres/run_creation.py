"""A run, its items, their jobs and the lines about what is skipped: stored in one transaction or not at all."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol
from uuid import uuid4

import asyncpg

from libs.database.pool import Borrowed
from libs.errors import RunAlreadyActive, StorageUnavailable
from services.sync.adapters.postgres.channels import NOTIFY_RUN
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.run_ending import log_ended_job, to_counts
from services.sync.adapters.postgres.run_rows import RunRows
from services.sync.adapters.postgres.tick_rows import take
from services.sync.domain.items import ItemKey
from services.sync.domain.jobs import LOG_NAMES, parts_of
from services.sync.domain.outcomes import RunState
from services.sync.domain.runs import PlannedItem, Run, RunPlan, Scope
from services.sync.domain.schedules import TickOutcome

CHUNK = 5_000  # rows a statement, so that none comes near the statement timeout

INSERT_RUN = """
INSERT INTO sync_runs (
    id, job, subject_kind, subject_id, listed, scope_key, idempotency_key, snapshot_date,
    total, processed, skipped, sequence, state, finished_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $10, $11, CASE WHEN $9 = $10::bigint THEN now() END)
"""

INSERT_JOB = """
INSERT INTO sync_run_jobs (run_id, job, total, processed, skipped) VALUES ($1, $2, $3, $4, $4) RETURNING *
"""

INSERT_ITEMS = """
INSERT INTO sync_items (
    run_id, job, subject_kind, subject_id, state, outcome, reason, message,
    ended_at, ended_sequence, closes_subject)
SELECT $1, job, kind, id, CASE WHEN outcome IS NULL THEN 'queued' ELSE 'ended' END, outcome, reason, message,
       CASE WHEN outcome IS NOT NULL THEN now() END, place, coalesce(closes, false)
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::boolean[])
    AS item (job, kind, id, outcome, reason, message, place, closes)
"""

LOG_SKIPPED = """
INSERT INTO sync_logs (run_id, subject_kind, subject_id, job_name, status, message, duration_ms)
SELECT $1, kind, id, name, 'SKIPPED', message, 0
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS line (kind, id, name, message)
"""


class JobQueue(Protocol):
    """Where items get the jobs that bring them to a worker."""

    async def enqueue(self, connection: Borrowed, keys: Sequence[ItemKey], *, is_urgent: bool) -> None:
        """Add a job for each item within the connection's transaction."""
        ...


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """An item as it is inserted: a skipped subject ends at a place of its own in the run's sequence."""

    item: PlannedItem
    place: int | None
    closes: bool


class RunCreation:
    """Creates runs."""

    def __init__(self, *, database: Database, runs: RunRows, queue: JobQueue) -> None:
        self._database = database
        self._runs = runs
        self._queue = queue

    async def already_started(self, scope: Scope, idempotency_key: str | None) -> Run | None:
        """Return the run that was started with the key; RunAlreadyActive when another one of the scope is active."""
        active = await self._runs.active(scope)
        # Behind the look at the scope: an active run that has this very key must not be taken for another one.
        if idempotency_key and (known := await self._runs.by_idempotency_key(idempotency_key)):
            return known
        if active:
            raise RunAlreadyActive(metadata={"run_id": active.id})
        return None

    async def create(self, plan: RunPlan) -> Run:
        """Store the run; of two that are started at once the database lets one in, the other is told about it."""
        run_id = str(uuid4())
        try:
            async with self._database.transaction() as connection:
                await self._insert(connection, run_id, plan)
        except asyncpg.UniqueViolationError:
            run = await self.already_started(plan.scope, plan.idempotency_key)
        else:
            run = await self._runs.get(run_id)
        if run is None:
            # The other run has ended since, or the database went away: either way the next attempt finds out.
            raise StorageUnavailable
        return run

    async def _insert(self, connection: Borrowed, run_id: str, plan: RunPlan) -> None:
        if plan.tick:
            # Before anything else: who comes second waits here, and then has nothing to undo.
            await take(connection, plan.tick, TickOutcome.STARTED, run_id)
        rows = placed(plan.items)
        await insert_run(connection, run_id, plan, rows)
        for chunk in chunks(rows):
            await insert_items(connection, run_id, chunk)
        await log_skipped(connection, run_id, [row.item for row in rows if row.place is not None])
        await insert_jobs(connection, run_id, plan)
        open_keys = [ItemKey(run_id, row.item.job, row.item.subject) for row in rows if row.place is None]
        for start in range(0, len(open_keys), CHUNK):
            urgent = plan.scope.subject is not None
            await self._queue.enqueue(connection, open_keys[start : start + CHUNK], is_urgent=urgent)
        await connection.execute(f"SELECT {NOTIFY_RUN.format('$1')}", run_id)


def placed(items: tuple[PlannedItem, ...]) -> list[ItemRow]:
    """Return the items with the places at which those that are skipped ended; a subject's items stand together."""
    skipped = dict.fromkeys(item.subject for item in items if item.ending)
    places = {subject: number for number, subject in enumerate(skipped, start=1)}
    last = {item.subject: index for index, item in enumerate(items)}
    return [
        ItemRow(
            item=item,
            place=places[item.subject] if item.ending else None,
            closes=bool(item.ending) and last[item.subject] == index,
        )
        for index, item in enumerate(items)
    ]


def chunks(rows: list[ItemRow]) -> Iterator[list[ItemRow]]:
    """Return the rows in portions of one statement each."""
    remaining = iter(rows)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk


async def insert_run(connection: Borrowed, run_id: str, plan: RunPlan, rows: list[ItemRow]) -> None:
    """Insert the run's row; one with nothing to do has ended at once."""
    total = len({row.item.subject for row in rows})
    skipped = sum(row.closes for row in rows)
    subject = plan.scope.subject
    await connection.execute(
        INSERT_RUN,
        run_id,
        plan.scope.job.value,
        subject.kind.value if subject else None,
        subject.id if subject else None,
        [one.id for one in plan.scope.listed] or None,
        plan.scope.key,
        plan.idempotency_key,
        plan.snapshot_date,
        total,
        skipped,
        (RunState.SUCCEEDED if total == skipped else RunState.QUEUED).value,
    )


async def insert_items(connection: Borrowed, run_id: str, rows: list[ItemRow]) -> None:
    """Insert items."""
    endings = [row.item.ending for row in rows]
    await connection.execute(
        INSERT_ITEMS,
        run_id,
        [row.item.job.value for row in rows],
        [row.item.subject.kind.value for row in rows],
        [row.item.subject.id for row in rows],
        [ending.outcome.value if ending else None for ending in endings],
        [ending.reason if ending else "" for ending in endings],
        [ending.message if ending else "" for ending in endings],
        [row.place for row in rows],
        [row.closes for row in rows],
    )


async def log_skipped(connection: Borrowed, run_id: str, items: list[PlannedItem]) -> None:
    """Write a line for each item that is skipped at once."""
    await connection.execute(
        LOG_SKIPPED,
        run_id,
        [item.subject.kind.value for item in items],
        [item.subject.id for item in items],
        [LOG_NAMES[item.job] for item in items],
        [item.ending.message if item.ending else "" for item in items],
    )


async def insert_jobs(connection: Borrowed, run_id: str, plan: RunPlan) -> None:
    """Insert the counts by job; a job with nothing to do has ended at once."""
    totals = Counter(item.job for item in plan.items)
    skipped = Counter(item.job for item in plan.items if item.ending)
    for job in parts_of(plan.scope.job):
        row = await connection.fetchrow(INSERT_JOB, run_id, job.value, totals[job], skipped[job])
        if row is not None and plan.scope.subject is None and row["processed"] == row["total"]:
            await log_ended_job(connection, run_id, to_counts(row))
