"""Cron expressions read without the program's help, by trying every minute of the clock on the wall."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
# More than any change of clocks.
AROUND = timedelta(hours=3)
LEAST_AND_MOST = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def values(text: str, least: int, most: int) -> set[int]:
    """Return the numbers that an entry stands for."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        first = least if low == "*" else int(low)
        last = int(high) if high else most if low == "*" or step else first
        found |= set(range(first, last + 1, int(step or 1)))
    return found


class Walk:
    """Tries every minute, those that a change of clocks leaves out too."""

    def __init__(self, text: str, zone: ZoneInfo) -> None:
        fields = text.split()
        self.zone = zone
        self.minutes, self.hours, self.days, self.months, self.weekdays = (
            values(content, *limits) for content, limits in zip(fields, LEAST_AND_MOST, strict=True)
        )
        self.either = not {fields[2], fields[4]} & {"*", "*/1"}
        self.elapsed = fields[1].startswith("*")

    def matches(self, wall: datetime) -> bool:
        if wall.minute not in self.minutes or wall.hour not in self.hours or wall.month not in self.months:
            return False
        on_day, on_weekday = wall.day in self.days, bool({wall.isoweekday(), wall.isoweekday() % 7} & self.weekdays)
        return on_day or on_weekday if self.either else on_day and on_weekday

    def between(self, start: datetime, end: datetime) -> list[datetime]:
        """Return the times behind the start until the end, in UTC."""
        return sorted(moment for moment in set(self._around(start, end)) if start < moment <= end)

    def _around(self, start: datetime, end: datetime) -> Iterator[datetime]:
        first, last = (moment.astimezone(self.zone).replace(tzinfo=None) for moment in (start - AROUND, end + AROUND))
        for number in range(int((last - first) / MINUTE)):
            wall = first + number * MINUTE
            if self.matches(wall):
                one, other = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
                yield one
                if other > one and self.elapsed:
                    yield other


def drawn(draw: random.Random) -> str:
    """Return an expression of any shape."""
    minute, hour, day, weekday = (_entry(draw, *LEAST_AND_MOST[place]) for place in (0, 1, 2, 4))
    return f"{minute} {hour} {day} {draw.choice(['*', '2-3,10', '*/1'])} {weekday}"


def _entry(draw: random.Random, least: int, most: int) -> str:
    low = draw.randint(least, most)
    high, step = draw.randint(low, most), draw.randint(1, most)
    forms = ["*", str(low), f"{low}-{high}", f"*/{step}", f"{low}-{high}/{step}", f"{low}/{step}", f"{low},{high}"]
    return draw.choice(forms)
