import asyncio
import io
import json
from contextlib import aclosing
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import pytest
from arro3.io import read_parquet
from tokhub.sync.v1 import export_pb2, report_pb2

from libs.errors import InvalidField, StorageUnavailable
from services.gateway.openapi import shapes
from services.sync.adapters.exports import ENCODERS
from services.sync.domain.exports import BATCH_ROWS, COLUMNS, Batches, Column, Dataset, ExportFormat, Row
from tests.sync.living_suite import LivingSuite, Replica
from tests.sync.snapshot_rows import account, days_ago, period, video

CSV, JSON, PARQUET = (
    export_pb2.EXPORT_FORMAT_CSV,
    export_pb2.EXPORT_FORMAT_JSON,
    export_pb2.EXPORT_FORMAT_PARQUET,
)
USERS, VIDEOS = export_pb2.DATASET_USER_DAILY, export_pb2.DATASET_VIDEO_DAILY
THEN = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
OF_EACH_KIND = [Column(kind.__name__, "", kind) for kind in (int, str, date, datetime)]
EXPORTING = "SELECT {} FROM pg_stat_activity WHERE application_name = 'tokhub-sync-reports' AND {}"
HAS_OPEN_ONE, WAITS = "xact_start IS NOT NULL", "wait_event_type = 'Lock'"
MANY_VIDEOS = """
INSERT INTO reporting.tiktok_video_daily (subject_kind, subject_id, snapshot_date, fetched_at, video_id, view_count)
SELECT 'store', 'shop', $1, now(), number::text, number FROM generate_series(1, $2::int) AS number
"""

Format: TypeAlias = export_pb2.ExportFormat.ValueType


def request(
    dataset: export_pb2.Dataset.ValueType, export_format: Format, over: report_pb2.Period
) -> export_pb2.ExportStatsRequest:
    return export_pb2.ExportStatsRequest(dataset=dataset, format=export_format, period=over)


async def export(
    replica: Replica, dataset: export_pb2.Dataset.ValueType, export_format: Format, over: report_pb2.Period
) -> bytes:
    return b"".join([part.data async for part in replica.stats.ExportStats(request(dataset, export_format, over))])


def table(content: bytes) -> dict[str, list[Any]]:
    read = read_parquet(io.BytesIO(content)).read_all()
    return {name: read.column(name).to_pylist() for name in read.column_names}


@pytest.fixture
async def shop(suite: LivingSuite) -> None:
    """A store with snapshots of two days, beside what no export shows."""
    for code in ("shop", "gone"):
        await suite.add_store(code)
    await suite.pool.execute("UPDATE reporting.stores SET archived_at = now() WHERE store_code = 'gone'")
    await account(suite, "shop", 1, 10, id=2, display_name='=1+1,"x"', created_at=THEN)
    await account(suite, "shop", 3, None, id=1, created_at=THEN)
    await account(suite, "gone", 1, 5)
    await account(suite, "shop", 1, 7, subject_kind="user")


def test_files_have_the_columns_of_the_routes() -> None:
    assert [column.name for column in COLUMNS[Dataset.USER_DAILY]] == list(shapes.USER_STATS)
    assert [column.name for column in COLUMNS[Dataset.VIDEO_DAILY]] == list(shapes.VIDEO_STATS)


@pytest.mark.usefixtures("shop")
async def test_accounts_as_csv_are_a_file_for_spreadsheets(replica: Replica) -> None:
    content = await export(replica, USERS, CSV, period(5))

    assert content.decode() == (
        "id,storeCode,snapshotDate,followerCount,followingCount,likesCount,videoCount,displayName,avatarUrl,createdAt"
        f"\r\n1,shop,{days_ago(3)},,,,,,,2026-01-02T03:04:05.678Z"
        f'\r\n2,shop,{days_ago(1)},10,,,,"\'=1+1,""x""",,2026-01-02T03:04:05.678Z\r\n'
    )


@pytest.mark.usefixtures("shop")
async def test_accounts_as_json_are_an_object_a_line(replica: Replica) -> None:
    first, second = map(json.loads, (await export(replica, USERS, JSON, period(5))).decode().splitlines())

    assert first["followerCount"] is None
    assert second == {
        "id": 2,
        "storeCode": "shop",
        "snapshotDate": str(days_ago(1)),
        "followerCount": 10,
        "followingCount": None,
        "likesCount": None,
        "videoCount": None,
        "displayName": '=1+1,"x"',
        "avatarUrl": None,
        "createdAt": "2026-01-02T03:04:05.678Z",
    }


@pytest.mark.usefixtures("shop")
async def test_accounts_as_parquet_keep_their_types(replica: Replica) -> None:
    columns = table(await export(replica, USERS, PARQUET, period(5)))

    assert list(columns) == [column.name for column in COLUMNS[Dataset.USER_DAILY]]
    assert (columns["id"], columns["followerCount"]) == ([1, 2], [None, 10])
    assert columns["snapshotDate"] == [days_ago(3), days_ago(1)]
    assert columns["createdAt"] == [THEN, THEN]
    assert columns["displayName"] == [None, '=1+1,"x"']


async def test_many_videos_come_whole_in_every_format(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    await video(suite, "shop", 1, "first", 1, description="täglich\n", like_count=2, comment_count=3, share_count=4)
    await suite.pool.execute(MANY_VIDEOS, days_ago(0), 2 * BATCH_ROWS)
    names = {"first", *(str(number) for number in range(1, 2 * BATCH_ROWS + 1))}

    as_csv, as_json, as_parquet = [await export(replica, VIDEOS, one, period(2)) for one in (CSV, JSON, PARQUET)]

    lines = [json.loads(line) for line in as_json.splitlines()]
    assert {line["videoId"] for line in lines} == names
    assert (len(lines), as_csv.count(b"\r\n")) == (len(names), len(names) + 1)
    columns = table(as_parquet)
    assert (len(columns["id"]), set(columns["videoId"])) == (len(names), names)
    assert lines[0] | {"id": 0, "createdAt": ""} == {
        "id": 0,
        "storeCode": "shop",
        "snapshotDate": str(days_ago(1)),
        "videoId": "first",
        "viewCount": 1,
        "likeCount": 2,
        "commentCount": 3,
        "shareCount": 4,
        "description": "täglich\n",
        "createdAt": "",
    }


async def test_an_export_of_nothing_is_a_file_all_the_same(replica: Replica) -> None:
    as_csv, as_json, as_parquet = [await export(replica, VIDEOS, one, period(2)) for one in (CSV, JSON, PARQUET)]

    assert (as_csv.count(b"\r\n"), as_json) == (1, b"")
    assert table(as_parquet) == {column.name: [] for column in COLUMNS[Dataset.VIDEO_DAILY]}


@pytest.mark.parametrize("export_format", [CSV, JSON, PARQUET])
async def test_an_error_in_the_middle_is_told(suite: LivingSuite, replica: Replica, export_format: Format) -> None:
    await suite.add_store("shop")
    await suite.pool.execute(MANY_VIDEOS, days_ago(40), BATCH_ROWS + 1)
    this_month = f"reporting.tiktok_video_daily_{days_ago(0):%Y_%m}"
    call = replica.stats.ExportStats(request(VIDEOS, export_format, period(40)))
    async with suite.pool.acquire() as holder, holder.transaction():
        # The rows of long ago are read and sent; those of this month cannot be, so that the export stands here.
        await holder.execute(f"LOCK TABLE {this_month}")
        parts = [await anext(aiter(call))]
        await suite.until(EXPORTING.format("count(*) = 1", WAITS))
        await suite.pool.fetchval(EXPORTING.format("pg_terminate_backend(pid)", WAITS))

        with pytest.raises(StorageUnavailable):
            parts += [part async for part in call]

    assert parts[0].data


async def test_leaving_an_export_stops_its_query(suite: LivingSuite, replica: Replica) -> None:
    async with suite.pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE reporting.tiktok_video_daily")
        call = replica.stats.ExportStats(request(VIDEOS, PARQUET, period(2)))
        reading = asyncio.ensure_future(anext(aiter(call)))
        await suite.until(EXPORTING.format("count(*) = 1", WAITS))
        reading.cancel()
        call.cancel()
        await suite.until(EXPORTING.format("count(*) = 0", WAITS))


@pytest.mark.parametrize("export_format", [CSV, JSON, PARQUET])
async def test_leaving_in_the_middle_frees_the_place(
    suite: LivingSuite, replica: Replica, export_format: Format
) -> None:
    await suite.add_store("shop")
    await suite.pool.execute(MANY_VIDEOS, days_ago(0), 20 * BATCH_ROWS)
    for _ in range(3):
        call = replica.stats.ExportStats(request(VIDEOS, export_format, period(2)))
        await anext(aiter(call))
        call.cancel()
    await suite.until(EXPORTING.format("count(*) = 0", HAS_OPEN_ONE))


async def test_a_period_that_cannot_be_is_refused_first(replica: Replica) -> None:
    with pytest.raises(InvalidField, match="from must not be after the last day"):
        await export(replica, USERS, PARQUET, period(1, 2))


@pytest.mark.parametrize("export_format", list(ExportFormat))
async def test_nothing_is_read_ahead_of_the_reader(export_format: ExportFormat) -> None:
    asked: list[int] = []
    row: Row = (1, "shop", date(2026, 1, 2), THEN)

    async def batches() -> Batches:
        for number in range(100):
            asked.append(number)
            yield [row] * 10

    async with aclosing(ENCODERS[export_format](OF_EACH_KIND, batches())) as pieces:
        for _ in range(3):
            await anext(pieces)

    assert len(asked) <= 4


async def test_rows_that_do_not_fit_a_column_end_the_file_with_an_error() -> None:
    async def batches() -> Batches:
        yield [("no number", "shop", date(2026, 1, 2), THEN)]

    with pytest.raises(Exception, match="int"):
        async for _ in ENCODERS[ExportFormat.PARQUET](OF_EACH_KIND, batches()):
            pass
