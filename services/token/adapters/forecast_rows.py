"""The forecast as aggregates in PostgreSQL; no connection leaves the database for it."""

from datetime import timedelta

from libs.database.pool import Pool, borrow
from services.token.core.forecast import Forecast, Span
from services.token.domain.connection import Provider

HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)

LIVE = """
    WITH live AS (
        SELECT id, received_at, access_expires_at, refresh_expires_at FROM connections
        WHERE status IN ('ACTIVE', 'SUSPECT')
          AND ($1::text IS NULL OR provider = $1) AND ($2::bigint IS NULL OR team_id = $2)
    )
"""

# A token is refreshed between half and four fifths of its life: on average once in 0.65 of it.
TOTALS = f"""{LIVE}
    SELECT now() AS at, count(*) AS live,
        count(*) FILTER (WHERE access_expires_at <= now()) AS access_overdue,
        coalesce(sum(1 / greatest(extract(epoch FROM access_expires_at - received_at) * 0.65, 1)), 0)::float8 AS needed,
        count(*) FILTER (WHERE refresh_expires_at <= now()) AS consent_overdue,
        count(*) FILTER (WHERE refresh_expires_at IS NULL) AS consent_endless
    FROM live
"""

MEASURED = """
    SELECT count(*) / 3600.0::float8 FROM connection_events event JOIN connections ON connections.id = connection_id
    WHERE kind = 'REFRESHED' AND at > now() - interval '1 hour'
      AND ($1::text IS NULL OR provider = $1) AND ($2::bigint IS NULL OR team_id = $2)
"""


def spans(column: str) -> str:
    """Return a query of how many live connections have the end of something in each of $3 spans of $4."""
    return f"""{LIVE}, ends AS (
        SELECT floor(extract(epoch FROM {column} - now()) / extract(epoch FROM $4::interval))::int AS span, count(*)
        FROM live WHERE {column} > now() AND {column} < now() + $3 * $4::interval GROUP BY span
    )
    SELECT now() + span * $4::interval AS start, coalesce(count, 0) AS count
    FROM generate_series(0, $3::int - 1) AS span LEFT JOIN ends USING (span) ORDER BY span
    """


ACCESS_ENDS, CONSENT_ENDS = spans("access_expires_at"), spans("refresh_expires_at")


class PostgresForecast:
    """Implements ForecastPort."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def forecast(self, provider: Provider | None, team_id: int | None, *, hours: int, weeks: int) -> Forecast:
        """Return the forecast, all of it as of one moment."""
        chosen = (provider, team_id)
        async with borrow(self._pool) as database, database.transaction(isolation="repeatable_read", readonly=True):
            totals = await database.fetchrow(TOTALS, *chosen)
            measured = await database.fetchval(MEASURED, *chosen)
            access = await database.fetch(ACCESS_ENDS, *chosen, hours, HOUR)
            consent = await database.fetch(CONSENT_ENDS, *chosen, weeks, WEEK)
        return Forecast(
            **dict(totals or {}),
            measured=measured,
            access_ends=[Span(**dict(row)) for row in access],
            consent_ends=[Span(**dict(row)) for row in consent],
        )
