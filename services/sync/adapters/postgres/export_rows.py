"""The daily snapshots of all stores, read day by day through a cursor of the server."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import asyncpg

from libs.database.pool import Borrowed
from services.sync.adapters.postgres.report_database import ReportDatabase
from services.sync.domain.exports import BATCH_ROWS, COLUMNS, Batches, Dataset, Row
from services.sync.domain.reports import Period

TABLES = {Dataset.USER_DAILY: "tiktok_user_daily", Dataset.VIDEO_DAILY: "tiktok_video_daily"}
# How long a reader may take over a batch: it holds one of few connections meanwhile.
READER_PATIENCE = "60s"


class ExportRows:
    """Reads snapshots to export them."""

    def __init__(self, database: ReportDatabase) -> None:
        self._database = database

    async def batches(self, dataset: Dataset, period: Period) -> Batches:
        """Yield rows with the dataset's columns, oldest day first, all as they are at one moment."""
        async with self._database.read() as connection:
            await connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{READER_PATIENCE}'")
            batch: list[Row] = []
            async with aclosing(read_days(connection, dataset, period)) as pieces:
                async for rows in pieces:
                    batch += map(tuple, rows)
                    if len(batch) >= BATCH_ROWS:
                        yield batch[:BATCH_ROWS]
                        batch = batch[BATCH_ROWS:]
            if batch:
                yield batch


async def read_days(
    connection: Borrowed, dataset: Dataset, period: Period
) -> AsyncGenerator[list[asyncpg.Record], None]:
    """Yield at most BATCH_ROWS rows of a day at a time; a day's rows come as they lie in the table."""
    statement = query(dataset)
    for day in period:
        cursor = await connection.cursor(statement, day)
        while rows := await cursor.fetch(BATCH_ROWS):
            yield rows


def query(dataset: Dataset) -> str:
    """Return SQL for one day of stores that are not deleted."""
    columns = ", ".join(f"day.{column.source}" for column in COLUMNS[dataset])
    return (
        f"SELECT {columns} FROM {TABLES[dataset]} day JOIN stores ON stores.store_code = day.subject_id"
        " WHERE day.subject_kind = 'store' AND day.snapshot_date = $1 AND stores.archived_at IS NULL"
    )
