"""Days as the suite counts them: in its own time zone, not in UTC."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from libs.clock import Clock


class Calendar:
    """Knows what day it is."""

    def __init__(self, *, clock: Clock, zone: ZoneInfo) -> None:
        self._clock = clock
        self._zone = zone

    def today(self) -> date:
        """Return the day that a snapshot taken now belongs to."""
        return self._clock.now().astimezone(self._zone).date()

    def first_of(self, days: int) -> date:
        """Return the first of the last so many days, today included."""
        return self.today() - timedelta(days=days - 1)

    def begins_at(self, day: date) -> datetime:
        """Return the moment at which a day begins."""
        return datetime.combine(day, time.min, self._zone)
