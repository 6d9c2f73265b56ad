import asyncio
from datetime import date

from structlog.testing import capture_logs

from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.partitions import Partitions, first_of_month
from tests.sync.living_suite import LivingSuite

NAMES = """
SELECT inhrelid::regclass::text FROM pg_inherits
WHERE inhparent = 'reporting.tiktok_video_daily'::regclass ORDER BY 1
"""
STRAY = """
INSERT INTO reporting.tiktok_video_daily (subject_kind, subject_id, snapshot_date, video_id, view_count, fetched_at)
VALUES ('store', 'shop', $1, 'v', 3, now())
"""


async def test_months_are_prepared_ahead_by_many_at_once(suite: LivingSuite) -> None:
    rooms = [Partitions(Database(suite.reporting)) for _ in range(6)]
    await asyncio.gather(*(room.prepare(date(2026, 12, 31)) for room in rooms))
    names = [row[0] for row in await suite.pool.fetch(NAMES)]
    months = ["2026_11", "2026_12", "2027_01", "2027_02", "default"]
    assert names == [f"reporting.tiktok_video_daily_{month}" for month in months]


async def test_rows_without_a_partition_are_moved_and_reported(suite: LivingSuite) -> None:
    await suite.pool.execute(STRAY, date(2031, 5, 17))
    room = Partitions(Database(suite.reporting))
    with capture_logs() as lines:
        await room.prepare(date(2026, 11, 21))
    assert [line["table"] for line in lines] == ["tiktok_video_daily_2031_05"]
    row = await suite.row("SELECT tableoid::regclass::text AS home, * FROM reporting.tiktok_video_daily")
    assert (row["home"], row["store_code"], row["view_count"]) == ("reporting.tiktok_video_daily_2031_05", "shop", 3)


async def test_a_stray_row_is_found_later_too(suite: LivingSuite) -> None:
    room = Partitions(Database(suite.reporting))
    await room.prepare(date(2026, 11, 21))
    await suite.pool.execute(STRAY, date(2020, 2, 29))
    await room.prepare(date(2026, 11, 21))
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.tiktok_video_daily_default") == 0


def test_months_are_counted_over_the_year() -> None:
    assert first_of_month(date(2026, 12, 31), 1) == date(2027, 1, 1)
    assert first_of_month(date(2026, 1, 15), -1) == date(2025, 12, 1)
