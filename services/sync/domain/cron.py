"""Cron expressions: read strictly, and right on the days on which clocks change.

Five fields: minute, hour, day of month, month, day of week (0 and 7 are Sunday), each a list of numbers, names, ranges
and steps. When both days are restricted, either one is enough. A wall time that a change of clocks leaves out comes as
much later as the clocks jump; one that comes twice counts once, unless the hour is a `*`, which means elapsed time.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

LONGEST = 200  # characters; no sensible expression has more
# More than any change of clocks in the time zone database.
CHANGE = timedelta(hours=3)
MINUTE = timedelta(minutes=1)
SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)

NO_NAMES: Mapping[str, int] = MappingProxyType({})
MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTHS = MappingProxyType({name: number for number, name in enumerate(MONTH_NAMES, 1)})
DAYS = MappingProxyType({name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))})
PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?", re.ASCII)
EVERY = range(0)  # what a star stands for; no other entry is empty


@dataclass(frozen=True)
class Field:
    """One of the five fields."""

    name: str
    least: int
    most: int
    names: Mapping[str, int] = field(default_factory=lambda: NO_NAMES)


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of week", 0, 7, DAYS),
)


@dataclass(frozen=True)
class Cron:
    """When something is to be done; made by parse_cron."""

    text: str
    canonical: str
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time behind the moment, in UTC."""
        return min(self._around(moment, later=True))

    def last_until(self, moment: datetime) -> datetime:
        """Return the newest time that is not behind the moment, in UTC."""
        return max(self._around(moment, later=False))

    def _around(self, moment: datetime, *, later: bool) -> Iterator[datetime]:
        direction = 1 if later else -1
        wall = moment.astimezone(self.zone).replace(tzinfo=None)
        # Behind the moment itself, which is a time of its own when it is looked for backwards.
        start = wall - self._slack(wall) if later else wall + self._slack(wall) + MINUTE
        walls = croniter(self.canonical, start)
        end: datetime | None = None
        while True:
            wall = walls.get_next(datetime) if later else walls.get_prev(datetime)
            if end is not None and (wall > end if later else wall < end):
                return
            for instant in self._instants(wall):
                if (instant > moment) is later:
                    end = end or wall + direction * self._slack(wall)
                    yield instant

    def _slack(self, wall: datetime) -> timedelta:
        """Return how far wall times may be out of order here: nothing, but around a change of clocks."""
        offsets = {(wall + side * CHANGE).replace(tzinfo=self.zone).utcoffset() for side in (-1, 1)}
        return CHANGE if len(offsets) > 1 else timedelta()

    def _instants(self, wall: datetime) -> Iterator[datetime]:
        first, second = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        yield first
        if second > first and self.text.split()[1].startswith("*"):
            yield second


def parse_cron(text: str, zone: ZoneInfo) -> Cron:
    """Return the expression; ValueError says which field is wrong and why."""
    if len(text) > LONGEST:
        raise ValueError(f"must be at most {LONGEST} characters")
    fields = text.split()
    if len(fields) != len(FIELDS) or not text.isascii():
        raise ValueError(
            f"must have the five fields minute, hour, day of month, month and day of week, has {len(fields)}; "
            "a minute is the shortest interval"
        )
    canonical = " ".join(
        read_field(content, kind, place) for place, (content, kind) in enumerate(zip(fields, FIELDS, strict=True), 1)
    )
    try:
        croniter(canonical, SOME_DAY).get_next()
    except CroniterBadDateError:
        raise ValueError("field 3 (day of month): no month of field 4 has such a day") from None
    return Cron(text, canonical, zone)


def read_field(content: str, kind: Field, place: int) -> str:
    """Return a field as a plain list of numbers, or as a star; ValueError."""
    try:
        chosen = [read_part(part, kind) for part in content.split(",")]
    except ValueError as error:
        raise ValueError(f"field {place} ({kind.name}): {error}") from None
    if EVERY in chosen:
        return "*"
    return ",".join(map(str, sorted({value for part in chosen for value in part})))


def read_part(part: str, kind: Field) -> range:
    """Return the values of one entry of a list, EVERY for a star; ValueError."""
    shape = PART.fullmatch(part)
    if shape is None:
        raise ValueError(f"{part[:20]!r} is neither a number, a range nor a step")
    first, last, step = shape.group("first", "last", "step")
    if step is not None and not 1 <= int(step[:9]) <= kind.most:
        raise ValueError(f"the step {step[:9]} is not within 1-{kind.most}")
    if first == "*":
        if last is not None:
            raise ValueError("a range needs a number on both sides")
        return EVERY if step in (None, "1") else range(kind.least, kind.most + 1, int(step))
    low = number(first, kind)
    high = number(last, kind) if last is not None else kind.most if step else low
    if low > high:
        raise ValueError(f"the range {low}-{high} runs backwards")
    return range(low, high + 1, int(step or 1))


def number(text: str, kind: Field) -> int:
    """Return the number that a word of a field stands for; ValueError."""
    value = kind.names.get(text.upper())
    if value is None:
        if not text.isdecimal():
            raise ValueError(f"{text[:20]!r} is not a number")
        value = int(text[:9])
    if not kind.least <= value <= kind.most:
        raise ValueError(f"{value} is not within {kind.least}-{kind.most}")
    return value
