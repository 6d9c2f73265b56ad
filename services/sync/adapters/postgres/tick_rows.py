"""The tables schedules and schedule_fires: who is first with a tick acts on it, everybody else finds it settled."""

from datetime import datetime

from libs.database.pool import Borrowed
from services.sync.adapters.postgres.database import Database
from services.sync.domain.schedules import Schedule, Tick, TickOutcome, TickTaken

SEE = """
INSERT INTO schedules AS seen (name, expression, zone, since) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET expression = excluded.expression, zone = excluded.zone,
    since = CASE WHEN (seen.expression, seen.zone) = (excluded.expression, excluded.zone)
            THEN seen.since ELSE excluded.since END
RETURNING since
"""

# Waits for a replica that is at it, and is nothing when that one commits.
TAKE = """
INSERT INTO schedule_fires (schedule, fire_at, outcome, run_id) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING true
"""

LOG = """
INSERT INTO sync_logs (run_id, job_name, status, message, duration_ms) VALUES ($1, $2, 'SKIPPED', $3, 0)
"""


async def take(connection: Borrowed, tick: Tick, outcome: TickOutcome, run_id: str | None) -> None:
    """Settle the tick within the caller's transaction; TickTaken."""
    if not await connection.fetchval(TAKE, tick.schedule, tick.fire_at, outcome.value, run_id):
        raise TickTaken


class TickRows:
    """Keeps ticks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seen(self, schedule: Schedule, now: datetime) -> datetime:
        """Return since when the schedule has been as it is; since now when it is new or was changed."""
        cron = schedule.cron
        async with self._database.borrow() as connection:
            since: datetime = await connection.fetchval(SEE, schedule.name, cron.text, cron.zone.key, now)
        return since

    async def is_settled(self, tick: Tick) -> bool:
        """Return whether somebody has acted on the tick."""
        query = "SELECT EXISTS (SELECT FROM schedule_fires WHERE schedule = $1 AND fire_at = $2)"
        async with self._database.borrow() as connection:
            return bool(await connection.fetchval(query, tick.schedule, tick.fire_at))

    async def settle(self, tick: Tick, outcome: TickOutcome, message: str, run_id: str | None) -> None:
        """Note that no run begins at the tick, in the sync log too; TickTaken."""
        async with self._database.transaction() as connection:
            await take(connection, tick, outcome, run_id)
            await connection.execute(LOG, run_id, tick.schedule, message)

    async def newest_start(self, schedule: str) -> datetime | None:
        """Return the newest tick at which a run began."""
        query = "SELECT max(fire_at) FROM schedule_fires WHERE schedule = $1 AND outcome = 'STARTED'"
        async with self._database.borrow() as connection:
            newest: datetime | None = await connection.fetchval(query, schedule)
        return newest
