import asyncio

import pytest
from tokhub.sync.v1 import report_pb2, sync_pb2

from libs.errors import StorageUnavailable
from services.sync.adapters.postgres import report_database
from tests.sync.living_suite import LivingSuite, Replica
from tests.sync.snapshot_rows import period

WAITING = """
SELECT count(*) = {} FROM pg_stat_activity
WHERE application_name = 'tokhub-sync-reports' AND wait_event_type = 'Lock'
"""


async def totals(replica: Replica) -> report_pb2.ListDailyTotalsResponse:
    return await replica.reports.ListDailyTotals(report_pb2.ListDailyTotalsRequest(period=period(3)))


async def test_a_report_too_many_is_told_when_to_come_again(
    suite: LivingSuite, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_database, "PATIENCE", 0.2)
    async with suite.pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE reporting.tiktok_user_daily")
        reports = [asyncio.create_task(totals(replica)) for _ in range(report_database.PLACES)]
        await suite.until(WAITING.format(report_database.PLACES))

        with pytest.raises(StorageUnavailable, match="2 reports or exports are being made") as told:
            await totals(replica)
        # Everything else has connections of its own.
        await replica.runs.ListRuns(sync_pb2.ListRunsRequest())

    assert told.value.retry_after == report_database.TRY_AGAIN
    assert [len((await report).totals) for report in reports] == [4, 4]


async def test_a_report_that_its_caller_gave_up_leaves_its_place(suite: LivingSuite, replica: Replica) -> None:
    async with suite.pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE reporting.tiktok_user_daily")
        reports = [asyncio.create_task(totals(replica)) for _ in range(report_database.PLACES)]
        await suite.until(WAITING.format(report_database.PLACES))
        for report in reports:
            report.cancel()
        await suite.until(WAITING.format(0))

    assert len((await totals(replica)).totals) == 4
