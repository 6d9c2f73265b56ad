"""The log of slots in the database: what calls hold now, on the database's clock, for all replicas."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.sync.adapters.postgres.arrays import array, parameters
from services.sync.adapters.postgres.database import Database
from services.sync.domain.rate_limit import EndpointBudget, RateLimit

APP = "login_kit"
# A call that nobody tells the end of has reached TikTok within this time, or never: the deadline of a call and a bit.
HOLD = 35.0  # seconds
# Slowed down by a 429, an endpoint is back at its limit after so many windows.
RECOVERY = 10

TAKE = f"""
SELECT * FROM take_upstream_slots($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, {parameters(11, "timestamptz float8")})
"""

# What was under way when the first 429 came says nothing new: the share falls once for all of it.
SLOW_DOWN = """
INSERT INTO upstream_budgets AS budget (app, endpoint, next_slot, slowed_to, slowed_at)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3), 0.8, clock_timestamp())
ON CONFLICT (app, endpoint) DO UPDATE SET
    next_slot = greatest(budget.next_slot, excluded.next_slot),
    slowed_to = CASE WHEN budget.next_slot > clock_timestamp() THEN budget.slowed_to ELSE greatest(0.05, 0.8 *
        least(1, budget.slowed_to + extract(epoch FROM clock_timestamp() - budget.slowed_at) / $4)) END,
    slowed_at = CASE WHEN budget.next_slot > clock_timestamp() THEN budget.slowed_at ELSE clock_timestamp() END
"""

STATE = """
SELECT budget.endpoint, coalesce(sum(slot.calls) FILTER (WHERE slot.taken_until > clock_timestamp()), 0)::int AS used,
       ceil($2 * least(1, budget.slowed_to
           + extract(epoch FROM clock_timestamp() - budget.slowed_at)::float8 / $3))::int AS limit,
       CASE WHEN budget.next_slot > clock_timestamp() THEN budget.next_slot END AS resumes_at
FROM upstream_budgets budget LEFT JOIN upstream_slots slot USING (app, endpoint)
WHERE budget.app = $1
GROUP BY budget.app, budget.endpoint ORDER BY budget.endpoint
"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many slots are waited for, by lane."""

    interactive: int
    bulk: int


@dataclass(frozen=True, kw_only=True)
class EndedCall:
    """A call that is over: its slot, named by the time it was to be held, is free a window after its end.

    One that was never made has no end, and its slot is free at once.
    """

    held_until: datetime
    seconds_ago: float | None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Slots taken, by lane, each held until it is told that its call has ended; free_in: seconds until others clear."""

    interactive: int
    bulk: int
    held_until: datetime
    free_in: float


class SlotLog:
    """Takes slots; a slot is taken before its call is made and counts, whether it is made or not."""

    def __init__(self, *, database: Database, limit: RateLimit) -> None:
        self._database = database
        self.limit = limit

    async def take(self, endpoint: str, wanted: Wanted, ended: Sequence[EndedCall]) -> Grant:
        """Note what has ended, then take what is free of what is wanted."""
        limit = self.limit
        async with self._database.borrow() as connection:
            rows = await connection.fetch(
                TAKE,
                APP,
                endpoint,
                wanted.interactive,
                wanted.bulk,
                limit.calls,
                limit.bulk_calls,
                HOLD,
                limit.cleared_after,
                limit.grain,
                RECOVERY * limit.window,
                array([call.held_until for call in ended]),
                array([call.seconds_ago for call in ended if call.seconds_ago is not None]),
            )
        return Grant(**rows[0])

    async def slow_down(self, endpoint: str, seconds: float) -> None:
        """Give no slot before so many seconds have passed, and fewer in a window after that."""
        async with self._database.borrow() as connection:
            await connection.execute(SLOW_DOWN, APP, endpoint, seconds, RECOVERY * self.limit.window)

    async def state(self) -> list[EndpointBudget]:
        """Return how much is in use, endpoint by endpoint."""
        async with self._database.borrow() as connection:
            rows = await connection.fetch(STATE, APP, float(self.limit.calls), RECOVERY * self.limit.window)
        return [EndpointBudget(**row) for row in rows]
