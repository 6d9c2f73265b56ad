"""How the connections stand and what runs out when, as aggregates in PostgreSQL for Prometheus."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from libs.database.pool import Pool, borrow
from services.token.domain.connection import Provider, Status

# Whose consent ends within these times is what alerts ask.
WITHIN: Mapping[str, timedelta] = MappingProxyType(
    {"0h": timedelta(), "24h": timedelta(hours=24), "48h": timedelta(hours=48), "7d": timedelta(days=7)}
)
# So many consents that end within a day are a mass expiry: a tenth of a provider's, and not a handful.
MASS_SHARE, MASS_LEAST = 0.1, 10

STANDING = "SELECT provider, status, count(*) AS connections FROM connections GROUP BY provider, status"

ENDING = f"""
SELECT provider, count(*) FILTER (WHERE access_expires_at <= now()) AS access_ended,
    {", ".join(f"count(*) FILTER (WHERE refresh_expires_at <= now() + ${n})" for n in range(1, len(WITHIN) + 1))}
FROM connections WHERE status IN ('ACTIVE', 'SUSPECT') GROUP BY provider
"""

# By the hour, for there are few hours.
MASS = """
WITH hours AS (
    SELECT provider, date_trunc('hour', refresh_expires_at) AS hour, count(*) AS ends, min(refresh_expires_at) AS first
    FROM connections WHERE status IN ('ACTIVE', 'SUSPECT') AND refresh_expires_at > now() GROUP BY provider, hour
), days AS (
    SELECT provider, first, sum(ends) OVER (PARTITION BY provider) AS live,
        sum(ends) OVER (PARTITION BY provider ORDER BY hour
            RANGE BETWEEN CURRENT ROW AND interval '23 hours' FOLLOWING) AS together
    FROM hours
)
SELECT provider, extract(epoch FROM min(first) - now())::float8 AS seconds
FROM days WHERE together >= greatest($1::float8 * live, $2::bigint) GROUP BY provider
"""


class Outlook:
    """Looks at all connections: a third of a second for 100,000 of them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def look(self) -> Sequence[Metric]:
        """Return the connections by status, and what has ended or will."""
        async with borrow(self._pool) as database, database.transaction(isolation="repeatable_read", readonly=True):
            standing = await database.fetch(STANDING)
            ending = await database.fetch(ENDING, *WITHIN.values())
            mass = await database.fetch(MASS, MASS_SHARE, MASS_LEAST)
        return [connections(standing), *ends(ending), mass_expiry(mass)]


def connections(rows: Sequence[Any]) -> Metric:
    """Return how many connections have which status."""
    family = GaugeMetricFamily("tokhub_token_connections", "Connections by status.", labels=["provider", "status"])
    found = {(row["provider"], row["status"]): row["connections"] for row in rows}
    for provider in Provider:
        for status in Status:
            family.add_metric([provider, status], found.get((provider, status), 0))
    return family


def ends(rows: Sequence[Any]) -> Iterator[Metric]:
    """Yield how many live connections have no access token that works, and lose their refresh token within a time."""
    access = GaugeMetricFamily(
        "tokhub_token_access_ended", "Live connections whose access token has ended.", labels=["provider"]
    )
    consents = GaugeMetricFamily(
        "tokhub_token_consents_ending",
        "Live connections whose refresh token ends within a time, those that have ended included.",
        labels=["provider", "within"],
    )
    found = {row["provider"]: tuple(row)[1:] for row in rows}
    for provider in Provider:
        access_ended, *ending = found.get(provider, (0,) * (1 + len(WITHIN)))
        access.add_metric([provider], access_ended)
        for within, count in zip(WITHIN, ending, strict=True):
            consents.add_metric([provider, within], count)
    yield from (access, consents)


def mass_expiry(rows: Sequence[Any]) -> Metric:
    """Return how far away the first day is on which a large part of the consents end; infinity without one."""
    family = GaugeMetricFamily(
        "tokhub_token_mass_expiry_seconds",
        "Seconds until the first day on which a tenth of the live connections, and ten at least, lose their consent.",
        labels=["provider"],
    )
    found = {row["provider"]: row["seconds"] for row in rows}
    for provider in Provider:
        family.add_metric([provider], found.get(provider, float("inf")))
    return family
