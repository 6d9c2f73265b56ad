"""What is older than what is kept goes: snapshots by the month, in one piece; runs with their log by the portion.

A day that is kept never goes.
"""

from datetime import date, datetime
from typing import Protocol

import structlog

from services.sync.core.calendar import Calendar

PORTION = 5_000  # rows a statement: tens of milliseconds

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


class OldRuns(Protocol):
    """The runs that have ended, with what they left behind."""

    async def forget(self, before: datetime, most: int) -> int:
        """Delete up to so many rows of each kind of runs that ended before the moment; return how many."""
        ...


class History:
    """Lets go of old runs, their items and their log lines; without a number of days everything is kept."""

    def __init__(self, *, runs: OldRuns, calendar: Calendar, days: int | None) -> None:
        self._runs = runs
        self._calendar = calendar
        self._days = days

    async def sweep(self) -> None:
        """Forget what ended before the last so many days."""
        if self._days is None:
            return
        first = self._calendar.first_of(self._days)
        forgotten = 0
        while deleted := await self._runs.forget(self._calendar.begins_at(first), PORTION):
            forgotten += deleted
        if forgotten:
            log.info("Runs out of retention were forgotten", rows=forgotten, kept_from=first.isoformat())
