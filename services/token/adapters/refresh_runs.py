"""Runs that refresh many connections, in PostgreSQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from libs.database.pool import Borrowed, Pool, borrow
from libs.database.repeat import repeated
from services.token.adapters.rows import COLUMNS, connection_of
from services.token.core.refresh_runs import Run, RunState
from services.token.domain.refresh_runs import Candidate, Ended, Outcome, Scope, Tally, Told

KEPT = "1 day"
MOST_FORGOTTEN = 10

CONTINUED_FOR = "10 minutes"

# PostgreSQL ends the sessions of a process that dies, each process's sessions bear a name of their own, and one with a
# run at work has some. A machine that dies may leave them open: then the lease tells.
DEAD = """
    (ended_at IS NULL AND (lease_until < clock_timestamp() OR holder <> '' AND NOT EXISTS (
        SELECT FROM pg_stat_activity WHERE application_name = holder AND datname = current_database())))
"""

LOSE = f"UPDATE refresh_runs SET state = 'LOST', ended_at = clock_timestamp() WHERE {DEAD}"

BEGIN = """
    INSERT INTO refresh_runs (id, scope, lease_until, holder)
    VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3), current_setting('application_name'))
    ON CONFLICT (scope) WHERE ended_at IS NULL DO NOTHING RETURNING id
"""

# What a run that broke off had refreshed is part of the next one of its scope: also a forced one leaves it alone.
CONTINUE = """
    WITH before AS (
        SELECT id, state, ended_at FROM refresh_runs WHERE scope = $2 AND id <> $1 ORDER BY started_at DESC LIMIT 1
    ), parts AS (
        INSERT INTO refresh_outcomes
        SELECT $1, row_number() OVER (ORDER BY sequence), connection_id, outcome, part.reason, message,
            access_expires_at, seconds_left
        FROM before JOIN refresh_outcomes AS part ON run_id = before.id
        WHERE state IN ('LOST', 'STOPPED') AND ended_at > clock_timestamp() - $3::text::interval
          AND outcome = 'REFRESHED'
        RETURNING run_id
    )
    UPDATE refresh_runs SET refreshed = (SELECT count(*) FROM parts) WHERE id = $1 RETURNING refreshed
"""

FORGET = """
    DELETE FROM refresh_runs WHERE id IN (
        SELECT id FROM refresh_runs WHERE ended_at < clock_timestamp() - $1::text::interval LIMIT $2)
"""

CANDIDATES = f"""
    SELECT {COLUMNS}, coalesce(length(access_token) > 0 AND length(refresh_token) > 0, false) AS complete
    FROM connections
    WHERE number > $1 AND status <> 'DISCONNECTED'
      AND ($3::text IS NULL OR provider = $3) AND ($4::bigint IS NULL OR team_id = $4)
      AND NOT EXISTS (
          SELECT FROM refresh_outcomes WHERE run_id = $5 AND sequence <= $6 AND connection_id = connections.id)
    ORDER BY number LIMIT $2
"""

# Totals are set, not added to: a repeat of a record whose answer was lost changes nothing.
RECORD = """
    WITH run AS (
        UPDATE refresh_runs SET refreshed = $2, skipped = $3, failed = $4,
            lease_until = clock_timestamp() + make_interval(secs => $5)
        WHERE id = $1 AND ended_at IS NULL RETURNING id
    ), parts AS (
        INSERT INTO refresh_outcomes
        SELECT id, part.* FROM run, unnest(
            $6::bigint[], $7::uuid[], $8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::float8[]) AS part
        ON CONFLICT DO NOTHING
    )
    SELECT id FROM run
"""

STATE = f"""
    SELECT CASE WHEN {DEAD} THEN 'LOST' ELSE state END AS state,
        refreshed, skipped, failed
    FROM refresh_runs WHERE id = $1
"""

ENDED = f"""
    SELECT connection.*, outcome, message, part.reason AS ended_reason,
        part.access_expires_at AS ended_expires_at, part.seconds_left AS ended_seconds_left
    FROM refresh_outcomes part
    JOIN LATERAL (SELECT {COLUMNS} FROM connections WHERE connections.id = part.connection_id) connection ON true
    WHERE run_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3
"""


class PostgresRefreshRuns:
    """Implements RefreshRunsPort over a pool whose search_path is schema credentials."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @repeated
    async def begin(self, scope: Scope, *, lease: float) -> Run:
        """Begin a run, or return the running one; forget old ones."""
        async with borrow(self._pool) as database:
            await database.execute(FORGET, KEPT, MOST_FORGOTTEN)
            while True:
                await database.execute(LOSE)
                async with database.transaction():
                    run = await begin_or_join(database, scope, lease)
                if run:
                    return run

    @repeated
    async def lose(self) -> None:
        """End runs whose process is gone."""
        async with borrow(self._pool) as database:
            await database.execute(LOSE)

    async def candidates(self, scope: Scope, after: int, size: int, run: Run | None = None) -> Sequence[Candidate]:
        """Return a page of connections."""
        left_out = (run.id, run.continued) if run else (None, 0)
        async with borrow(self._pool) as database:
            rows = await database.fetch(CANDIDATES, after, size, scope.provider, scope.team_id, *left_out)
        return [Candidate(connection=connection_of(row), complete=row["complete"]) for row in rows]

    @repeated
    async def record(self, run_id: UUID, ended: Sequence[Ended], tally: Tally, *, lease: float) -> bool:
        """Append ended parts and extend the lease."""
        sequences = range(tally.total - len(ended) + 1, tally.total + 1)
        parts = [(number, *columns(part)) for number, part in zip(sequences, ended, strict=True)]
        totals = (tally.refreshed, tally.skipped, tally.failed)
        arrays = [list(column) for column in zip(*parts, strict=True)] or [[]] * 7
        async with borrow(self._pool) as database:
            return await database.fetchval(RECORD, run_id, *totals, lease, *arrays) is not None

    async def finish(self, run_id: UUID, state: RunState) -> None:
        """End a run."""
        finish = "UPDATE refresh_runs SET state = $2, ended_at = clock_timestamp() WHERE id = $1 AND ended_at IS NULL"
        async with borrow(self._pool) as database:
            await database.execute(finish, run_id, state)

    async def state(self, run_id: UUID) -> tuple[RunState, Tally]:
        """Return how a run stands; one that was forgotten is lost."""
        async with borrow(self._pool) as database:
            row = await database.fetchrow(STATE, run_id)
        if row is None:
            return RunState.LOST, Tally()
        tally = Tally(refreshed=row["refreshed"], skipped=row["skipped"], failed=row["failed"])
        return RunState(row["state"]), tally

    async def ended(self, run_id: UUID, after: int, size: int) -> Sequence[Told]:
        """Return ended parts in order."""
        async with borrow(self._pool) as database:
            rows = await database.fetch(ENDED, run_id, after, size)
        return [told_of(row) for row in rows]


async def begin_or_join(database: Borrowed, scope: Scope, lease: float) -> Run | None:
    """Begin a run or return the running one; None when that one ended in this very moment."""
    begun = await database.fetchval(BEGIN, uuid4(), scope.key, lease)
    if begun:
        continued = await database.fetchval(CONTINUE, begun, scope.key, CONTINUED_FOR)
        return Run(id=begun, begun=True, continued=continued)
    running = await database.fetchval("SELECT id FROM refresh_runs WHERE scope = $1 AND ended_at IS NULL", scope.key)
    return Run(id=running, begun=False) if running else None


def columns(part: Ended) -> tuple[object, ...]:
    """Return the columns of an ended part behind its sequence."""
    return (
        part.connection_id,
        part.outcome.value,
        part.reason,
        part.message,
        part.access_expires_at,
        part.seconds_left,
    )


def told_of(row: Any) -> Told:
    """Return the ended part of a row of ENDED."""
    connection = connection_of(row)
    ended = Ended(
        connection_id=connection.id,
        outcome=Outcome(row["outcome"]),
        reason=row["ended_reason"],
        message=row["message"],
        access_expires_at=row["ended_expires_at"],
        seconds_left=row["ended_seconds_left"],
    )
    return Told(ended=ended, connection=connection)
