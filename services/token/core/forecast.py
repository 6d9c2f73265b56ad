"""Says how many refreshes are to be expected, how many there are, and whose consent runs out when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.token.domain.connection import Provider

HOURS = 24
WEEKS = 26  # a refresh token of Login Kit lives 180 days


@dataclass(frozen=True, kw_only=True)
class Span:
    """How many connections something happens to, from a moment until the next span."""

    start: datetime
    count: int


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Refreshes are per second: needed on average, measured over the last hour; overdue ones are counted apart."""

    at: datetime
    live: int
    access_overdue: int
    access_ends: Sequence[Span]
    needed: float
    measured: float
    consent_overdue: int
    consent_endless: int
    consent_ends: Sequence[Span]

    @property
    def access_later(self) -> int:
        """Access tokens that end after the last span."""
        return self.live - self.access_overdue - sum(span.count for span in self.access_ends)

    @property
    def consent_later(self) -> int:
        """Connections whose consent runs out after the last span."""
        spans = sum(span.count for span in self.consent_ends)
        return self.live - self.consent_overdue - self.consent_endless - spans


class ForecastPort(Protocol):
    """Aggregates over the rows of live connections."""

    async def forecast(self, provider: Provider | None, team_id: int | None, *, hours: int, weeks: int) -> Forecast:
        """Return the forecast with so many spans of an hour and of a week."""
        ...


class Forecaster:
    """Looks ahead."""

    def __init__(self, rows: ForecastPort) -> None:
        self._rows = rows

    async def forecast(self, provider: Provider | None, team_id: int | None) -> Forecast:
        """Return the forecast of a day and half a year."""
        return await self._rows.forecast(provider, team_id, hours=HOURS, weeks=WEEKS)
