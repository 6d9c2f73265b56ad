"""Snapshots older than what is kept go by the month, in one piece; a day that is kept never does."""

from datetime import date
from typing import Protocol

import structlog

from services.sync.core.calendar import Calendar

log = structlog.get_logger()


class OldMonths(Protocol):
    """The months whose snapshots are stored."""

    async def drop_before(self, day: date) -> list[str]:
        """Drop the months that end before the day, and return what they were called."""
        ...


class Retention:
    """Lets go of old snapshots; without a number of days everything is kept."""

    def __init__(self, *, months: OldMonths, calendar: Calendar, days: int | None) -> None:
        self._months = months
        self._calendar = calendar
        self._days = days

    async def sweep(self) -> None:
        """Drop the months of which no day is among the last so many."""
        if self._days is None:
            return
        first = self._calendar.first_of(self._days)
        for month in await self._months.drop_before(first):
            log.info("Snapshots out of retention were dropped", table=month, kept_from=first.isoformat())
