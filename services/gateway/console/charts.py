"""Points of a chart; a page holds them as a table, from which a module draws."""

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup
from tokhub.sync.v1 import report_pb2, sync_pb2
from tokhub.token.v1 import token_pb2

from services.gateway.console.filters import moment
from services.gateway.console.filters import optional as given

DAY = Markup('<time datetime="{}">{}</time>')


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value at a time; None where nobody knows one."""

    when: str
    value: int | None


def by_day(day: str, value: int | None) -> Point:
    """Return a point of a day, YYYY-MM-DD."""
    return Point(when=DAY.format(day, day), value=value)


def of_account(days: Iterable[sync_pb2.UserStats], field: str) -> list[Point]:
    """Return an account's figure by day, oldest first."""
    return [by_day(day.snapshot_date, given(day, field)) for day in days][::-1]


def of_totals(days: Iterable[report_pb2.DailyTotals], field: str) -> list[Point]:
    """Return a sum by day, oldest first; days without one are left out."""
    return [by_day(day.snapshot_date, given(day, field)) for day in days if given(day, field) is not None]


def of_spans(spans: Iterable[token_pb2.ForecastSpan]) -> list[Point]:
    """Return how many connections something happens to, span by span."""
    return [Point(when=moment(span.start_time), value=span.count) for span in spans]
