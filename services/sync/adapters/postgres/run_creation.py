"""A run, its items, their jobs and the lines about what has ended at once: stored in one transaction or not at all.

Portion by portion as it is planned: what is in memory, and how long a statement takes, does not grow with the run.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg

from libs.database.pool import Borrowed
from libs.errors import InvalidField, RunAlreadyActive, StorageUnavailable
from services.sync.adapters.postgres.arrays import columns, parameters
from services.sync.adapters.postgres.channels import NOTIFY_RUN
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.run_ending import log_ended_job, to_counts
from services.sync.adapters.postgres.run_rows import RunRows
from services.sync.adapters.postgres.tick_rows import take
from services.sync.adapters.queue import JobQueue
from services.sync.domain.items import Ending, ItemKey
from services.sync.domain.jobs import LOG_NAMES, Job, parts_of
from services.sync.domain.outcomes import Outcome, RunState
from services.sync.domain.runs import PlannedItem, Run, RunPlan, Scope
from services.sync.domain.schedules import TickOutcome

# Whoever starts a run of the same scope, or with the same key, waits behind this row for what becomes of it.
INSERT_RUN = """
INSERT INTO sync_runs (
    id, job, subject_kind, subject_id, listed, scope_key, idempotency_key, snapshot_date, total, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 'queued')
"""

COUNT_RUN = """
UPDATE sync_runs SET total = $2, processed = $3, sequence = $3, succeeded = $4, skipped = $5, state = $6,
    finished_at = CASE WHEN $2 = $3::bigint THEN now() END
WHERE id = $1
"""

INSERT_JOB = """
INSERT INTO sync_run_jobs (run_id, job, total, processed, succeeded, skipped) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING *
"""

INSERT_ITEMS = f"""
INSERT INTO sync_items (
    run_id, job, subject_kind, subject_id, state, outcome, reason, message,
    ended_at, ended_sequence, closes_subject)
SELECT $1, job, kind, id, CASE WHEN outcome IS NULL THEN 'queued' ELSE 'ended' END, outcome, reason, message,
       CASE WHEN outcome IS NOT NULL THEN now() END, place, coalesce(closes, false)
FROM unnest({parameters(2, "text text text text text text bigint boolean")})
    AS item (job, kind, id, outcome, reason, message, place, closes)
"""

LOG_ENDED = f"""
INSERT INTO sync_logs (run_id, subject_kind, subject_id, job_name, status, message, duration_ms)
SELECT $1, kind, id, name, outcome, message, 0
FROM unnest({parameters(2, "text text text text text")}) AS line (kind, id, name, outcome, message)
"""


# The planner believes the tables to be as small as they were when last counted: with a plan for an empty queue, every
# look into a full one reads the whole of it.
COUNT_ROWS = ("ANALYZE sync_items", "ANALYZE pgqueuer")
MANY = 500  # subjects


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """An item as it is inserted: a subject that has ended at once did so at a place of its own in the sequence."""

    item: PlannedItem
    place: int | None
    closes: bool


@dataclass
class Planned:
    """What has been stored of a run so far."""

    subjects: int = 0
    items_of: Counter[Job] = field(default_factory=Counter)
    # Subjects and items that have ended, by how they did.
    ended: Counter[Outcome] = field(default_factory=Counter)
    ended_of: defaultdict[Job, Counter[Outcome]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, rows: Sequence[ItemRow]) -> None:
        """Count a portion."""
        self.subjects += len({row.item.subject for row in rows})
        self.items_of.update(row.item.job for row in rows)
        for row in rows:
            if row.item.ending:
                self.ended_of[row.item.job][row.item.ending.outcome] += 1
                self.ended[row.item.ending.outcome] += row.closes


class RunCreation:
    """Creates runs."""

    def __init__(self, *, database: Database, runs: RunRows, queue: JobQueue) -> None:
        self._database = database
        self._runs = runs
        self._queue = queue

    async def already_started(self, scope: Scope, idempotency_key: str | None) -> Run | None:
        """Return the run that was started with the key; RunAlreadyActive when another one of the scope is active.

        InvalidField for a key of a run over something else, which the caller would take for the one asked for.
        """
        active = await self._runs.active(scope)
        # Behind the look at the scope: an active run that has this very key must not be taken for another one.
        if idempotency_key and (known := await self._runs.by_idempotency_key(idempotency_key)):
            if known.scope.key != scope.key:
                raise InvalidField("idempotency_key", "has started another run than this: take a new one")
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
        await insert_run(connection, run_id, plan)
        planned = Planned()
        async for items in plan.portions:
            rows = placed(items, behind=planned.ended.total())
            await self._insert_portion(connection, run_id, rows, is_urgent=plan.scope.subject is not None)
            planned.add(rows)
        await count_run(connection, run_id, planned)
        await insert_jobs(connection, run_id, plan.scope, planned)
        if planned.subjects > MANY:
            for statement in COUNT_ROWS:
                await connection.execute(statement)
        await connection.execute(f"SELECT {NOTIFY_RUN.format('$1')}", run_id)

    async def _insert_portion(
        self, connection: Borrowed, run_id: str, rows: Sequence[ItemRow], *, is_urgent: bool
    ) -> None:
        await insert_items(connection, run_id, rows)
        await log_ended(connection, run_id, [(row.item, row.item.ending) for row in rows if row.item.ending])
        open_keys = [ItemKey(run_id, row.item.job, row.item.subject) for row in rows if row.item.ending is None]
        if is_urgent:
            await self._queue.enqueue(connection, open_keys, is_urgent=True)
        else:
            await self._queue.share_out(connection, open_keys)


def placed(items: tuple[PlannedItem, ...], *, behind: int) -> list[ItemRow]:
    """Return the items with the places, behind that one, of the subjects that have nothing left to do."""
    have_work = {item.subject for item in items if item.ending is None}
    ended = dict.fromkeys(item.subject for item in items if item.subject not in have_work)
    places = {subject: number for number, subject in enumerate(ended, start=behind + 1)}
    last = {item.subject: index for index, item in enumerate(items)}
    return [
        ItemRow(
            item=item,
            place=places.get(item.subject),
            closes=item.subject in places and last[item.subject] == index,
        )
        for index, item in enumerate(items)
    ]


async def insert_run(connection: Borrowed, run_id: str, plan: RunPlan) -> None:
    """Insert the run's row."""
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
    )


async def count_run(connection: Borrowed, run_id: str, planned: Planned) -> None:
    """Write down how much the run has to do; one with nothing to do has ended at once."""
    ended = planned.ended
    state = RunState.SUCCEEDED if planned.subjects == ended.total() else RunState.QUEUED
    counts = (planned.subjects, ended.total(), ended[Outcome.SUCCESS], ended[Outcome.SKIPPED])
    await connection.execute(COUNT_RUN, run_id, *counts, state.value)


async def insert_items(connection: Borrowed, run_id: str, rows: Sequence[ItemRow]) -> None:
    """Insert items."""
    if rows:
        await connection.execute(INSERT_ITEMS, run_id, *columns([values_of(row) for row in rows]))


def values_of(row: ItemRow) -> tuple[object, ...]:
    """Return an item as INSERT_ITEMS takes it."""
    item, ending = row.item, row.item.ending
    told = (str(ending.outcome), ending.reason, ending.message) if ending else (None, "", "")
    return (str(item.job), str(item.subject.kind), item.subject.id, *told, row.place, row.closes)


async def log_ended(connection: Borrowed, run_id: str, ended: list[tuple[PlannedItem, Ending]]) -> None:
    """Write a line for each item that has ended at once."""
    if ended:
        lines = [
            (str(item.subject.kind), item.subject.id, LOG_NAMES[item.job], str(ending.outcome), ending.message)
            for item, ending in ended
        ]
        await connection.execute(LOG_ENDED, run_id, *columns(lines))


async def insert_jobs(connection: Borrowed, run_id: str, scope: Scope, planned: Planned) -> None:
    """Insert the counts by job; a job with nothing to do has ended at once."""
    for job in parts_of(scope.job):
        ended = planned.ended_of[job]
        counts = (planned.items_of[job], ended.total(), ended[Outcome.SUCCESS], ended[Outcome.SKIPPED])
        row = await connection.fetchrow(INSERT_JOB, run_id, job.value, *counts)
        if row is not None and scope.subject is None and row["processed"] == row["total"]:
            await log_ended_job(connection, run_id, to_counts(row))
