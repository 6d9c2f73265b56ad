"""Days as the suite counts them, in its own time zone."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from tokhub.sync.v1 import report_pb2, sync_pb2

from libs.clock import Clock
from services.gateway.backends import Backends


async def today(backends: Backends, clock: Clock) -> date:
    """Return the day that snapshots taken now are of."""
    schedule = await backends.sync.GetSchedule(sync_pb2.GetScheduleRequest())
    return clock.now().astimezone(ZoneInfo(schedule.timezone or "UTC")).date()


def period(last: date, days: int) -> report_pb2.Period:
    """Return so many days up to the last."""
    first = last - timedelta(days=days - 1)
    return report_pb2.Period(from_date=first.isoformat(), to_date=last.isoformat())
