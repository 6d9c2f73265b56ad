"""Reports are made for a period that makes sense."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from libs.errors import InvalidField
from services.sync.core.calendar import Calendar
from services.sync.domain.reports import Completeness, DailyTotals, Period, StoreGrowth, TopVideo

USUAL_DAYS = 30
MOST_DAYS = 366
# Before any snapshot there can be; the first days of the calendar have none before them, and no midnight in some zones.
EARLIEST = date(2000, 1, 1)
USUAL_STORES = 500
USUAL_VIDEOS = 50


class ReportRows(Protocol):
    """Where figures are read from."""

    async def growth(self, period: Period, *, after: str, limit: int) -> list[StoreGrowth]:
        """Return the growth of stores with higher codes, lowest first."""
        ...

    async def top_videos(self, period: Period, *, begins_at: datetime, limit: int, store_code: str) -> list[TopVideo]:
        """Return the videos, of one store or all, that gained most; those posted from begins_at on began with none."""
        ...

    async def daily_totals(self, period: Period, *, store_code: str) -> list[DailyTotals]:
        """Return the sums of every day, of one store or all, oldest first."""
        ...

    async def completeness(self, ends: Sequence[tuple[date, datetime]]) -> list[Completeness]:
        """Return how complete these days are, each given with the moment at which it ends."""
        ...


class Reports:
    """The use cases of ReportService."""

    def __init__(self, *, rows: ReportRows, calendar: Calendar) -> None:
        self._rows = rows
        self._calendar = calendar

    def period(self, first: str, last: str) -> Period:
        """Return the period between two days, both included, as YYYY-MM-DD or empty; InvalidField."""
        return to_period(first, last, today=self._calendar.today())

    async def growth(self, period: Period, *, after: str, limit: int) -> list[StoreGrowth]:
        """Return a page of stores with their growth."""
        return await self._rows.growth(period, after=after, limit=limit)

    async def top_videos(self, period: Period, *, limit: int, store_code: str = "") -> list[TopVideo]:
        """Return the videos that gained most, of all stores or of one."""
        begins_at = self._calendar.begins_at(period.first)
        most = limit or USUAL_VIDEOS
        return await self._rows.top_videos(period, begins_at=begins_at, limit=most, store_code=store_code)

    async def daily_totals(self, period: Period, *, store_code: str = "") -> list[DailyTotals]:
        """Return the sums by day, of all stores or of one."""
        return await self._rows.daily_totals(period, store_code=store_code)

    async def completeness(self, period: Period) -> list[Completeness]:
        """Return how complete each day is."""
        ends = [(day, self._calendar.begins_at(day + timedelta(days=1))) for day in period]
        return await self._rows.completeness(ends)


def to_period(first: str, last: str, *, today: date) -> Period:
    """Return the period between two days, both included, as YYYY-MM-DD or empty; InvalidField."""
    ends = to_day("to", last) if last else today
    begins = to_day("from", first) if first else ends - timedelta(days=USUAL_DAYS - 1)
    period = Period(begins, ends)
    if ends > today:
        raise InvalidField("to", f"must not be after today, {today}")
    if begins > ends:
        raise InvalidField("from", f"must not be after the last day, {ends}")
    if period.days > MOST_DAYS:
        raise InvalidField("from", f"must be at most {MOST_DAYS} days before the day after the last, {ends}")
    return period


def to_day(field: str, text: str) -> date:
    """Return the day that a text names; InvalidField."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidField(field, "must be a day, YYYY-MM-DD") from None
    if day < EARLIEST:
        raise InvalidField(field, f"must not be before {EARLIEST}")
    return day
