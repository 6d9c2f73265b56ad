"""TikTok's rate limit, shared by all replicas: evenly spaced slots on the database's clock, one row an endpoint."""

from libs.clock import Clock
from services.sync.adapters.postgres.database import Database

APP = "login_kit"
# Below the limit by this share: slots are spaced where they are given, and arrive with the network's jitter.
MARGIN = 0.02

# A slot is taken whether or not its call is made; an idle time is never made up for by a burst.
TAKE_SLOT = """
INSERT INTO upstream_budgets AS budget (app, endpoint, next_slot)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (app, endpoint) DO UPDATE
SET next_slot = greatest(budget.next_slot, clock_timestamp()) + make_interval(secs => $3)
RETURNING extract(epoch FROM next_slot - clock_timestamp())::float8 - $3
"""

SLOW_DOWN = """
UPDATE upstream_budgets SET next_slot = greatest(next_slot, clock_timestamp() + make_interval(secs => $3))
WHERE app = $1 AND endpoint = $2
"""


class SharedBudget:
    """Gives out slots."""

    def __init__(self, *, database: Database, clock: Clock, calls_per_minute: int) -> None:
        self._database = database
        self._clock = clock
        self._interval = 60 / (calls_per_minute * (1 - MARGIN))

    async def acquire(self, endpoint: str) -> None:
        """Take the next slot of the endpoint and wait for it."""
        async with self._database.borrow() as connection:
            wait = await connection.fetchval(TAKE_SLOT, APP, endpoint, self._interval)
        if wait > 0:
            await self._clock.sleep(wait)

    async def slow_down(self, endpoint: str, seconds: float) -> None:
        """Give no slot before so many seconds have passed."""
        async with self._database.borrow() as connection:
            await connection.execute(SLOW_DOWN, APP, endpoint, seconds)
