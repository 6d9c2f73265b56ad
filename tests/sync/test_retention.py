from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from libs.clock import SystemClock
from libs.errors import StorageUnavailable
from libs.settings import WrongSetting, parse
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.partitions import TABLES, Partitions, make_partition
from services.sync.core.calendar import Calendar
from services.sync.core.retention import Retention
from services.sync.settings import SyncSettings
from tests.sync.living_suite import LivingSuite

MONTHS = [date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)]
STORED = """
SELECT snapshot_date FROM reporting.tiktok_user_daily UNION ALL SELECT snapshot_date FROM reporting.tiktok_video_daily
"""
ADD = """
INSERT INTO reporting.{} (subject_kind, subject_id, snapshot_date, fetched_at {}) VALUES ('store', 'shop', $1, now() {})
"""


class SetClock(SystemClock):
    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now


def retention(suite: LivingSuite, days: int | None, now: datetime, zone: str = "UTC") -> Retention:
    calendar = Calendar(clock=SetClock(now), zone=ZoneInfo(zone))
    return Retention(months=Partitions(Database(suite.reporting)), calendar=calendar, days=days)


async def add_months(suite: LivingSuite) -> list[date]:
    """Store a row on the first and on the last day of each month, in both tables; return the days."""
    async with suite.reporting.acquire() as connection, connection.transaction():
        for table in TABLES:
            for month in MONTHS:
                await make_partition(connection, table, month)
    ends = [date.fromordinal(month.toordinal() - 1) for month in MONTHS[1:]]
    days = sorted([*MONTHS[:-1], *ends])
    for day in days:
        await suite.pool.execute(ADD.format("tiktok_user_daily", "", ""), day)
        await suite.pool.execute(ADD.format("tiktok_video_daily", ", video_id", ", 'v'"), day)
    return days


async def stored(suite: LivingSuite) -> set[date]:
    return {row["snapshot_date"] for row in await suite.pool.fetch(STORED)}


@pytest.mark.parametrize(
    ("now", "first_kept"),
    [
        # 31 days back from the last of March is its first: February went the day before.
        (datetime(2026, 3, 31, tzinfo=UTC), date(2026, 3, 1)),
        (datetime(2026, 3, 30, tzinfo=UTC), date(2026, 2, 1)),
        (datetime(2026, 3, 3, tzinfo=UTC), date(2026, 2, 1)),
        (datetime(2026, 3, 2, tzinfo=UTC), date(2026, 1, 1)),
    ],
)
async def test_exactly_the_months_out_of_retention_go(suite: LivingSuite, now: datetime, first_kept: date) -> None:
    days = await add_months(suite)

    await retention(suite, 31, now).sweep()

    assert await stored(suite) == {day for day in days if day >= first_kept}


async def test_the_day_is_that_of_the_suites_zone(suite: LivingSuite) -> None:
    days = await add_months(suite)

    # In Auckland it is the 31st already.
    await retention(suite, 31, datetime(2026, 3, 30, 12, tzinfo=UTC), "Pacific/Auckland").sweep()

    assert await stored(suite) == {day for day in days if day >= date(2026, 3, 1)}


async def test_without_a_number_everything_is_kept(suite: LivingSuite) -> None:
    days = await add_months(suite)

    await retention(suite, None, datetime(2046, 1, 1, tzinfo=UTC)).sweep()

    assert await stored(suite) == set(days)


async def test_rows_without_a_month_are_left_alone(suite: LivingSuite) -> None:
    await suite.pool.execute(ADD.format("tiktok_user_daily", "", ""), date(2001, 1, 1))

    await retention(suite, 31, datetime(2026, 3, 31, tzinfo=UTC)).sweep()

    assert await stored(suite) == {date(2001, 1, 1)}


async def test_every_dropped_month_is_told(suite: LivingSuite) -> None:
    await add_months(suite)
    with capture_logs() as lines:
        await retention(suite, 31, datetime(2026, 2, 28, tzinfo=UTC)).sweep()

    assert [line["table"] for line in lines] == ["tiktok_user_daily_2025_12", "tiktok_video_daily_2025_12"]
    assert {line["kept_from"] for line in lines} == {"2026-01-29"}


async def test_a_month_that_is_being_read_waits(suite: LivingSuite) -> None:
    days = await add_months(suite)
    sweeping = retention(suite, 31, datetime(2026, 3, 31, tzinfo=UTC))
    async with suite.pool.acquire() as reader, reader.transaction():
        await reader.fetch("SELECT FROM reporting.tiktok_user_daily")
        with pytest.raises(StorageUnavailable):
            await sweeping.sweep()
        assert await stored(suite) == set(days)

    await sweeping.sweep()
    assert await stored(suite) == {day for day in days if day >= date(2026, 3, 1)}


async def test_a_running_service_sweeps_by_itself(suite: LivingSuite) -> None:
    await add_months(suite)
    async with suite.replica(RETENTION_DAYS="31"):
        await suite.until(f"SELECT NOT EXISTS ({STORED})")


@pytest.mark.parametrize("days", ["30", "1", "-1"])
def test_too_few_days_to_keep_stop_the_start(days: str) -> None:
    with pytest.raises(WrongSetting, match="RETENTION_DAYS"):
        parse(SyncSettings, {"DATABASE_URL": "postgresql://u:p@h/d", "RETENTION_DAYS": days})


def test_snapshots_are_kept_for_two_years_unless_told_otherwise() -> None:
    assert parse(SyncSettings, {"DATABASE_URL": "postgresql://u:p@h/d"}).retention_days == 730
