from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from tokhub.sync.v1 import sync_pb2

from libs.clock import SystemClock
from libs.settings import WrongSetting, parse
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.old_runs import OldRuns
from services.sync.core.calendar import Calendar
from services.sync.core.retention import History
from services.sync.settings import SyncSettings
from tests.sync.living_suite import JOB_ALL, JOB_USER, LivingSuite, Replica

DATABASE = {"DATABASE_URL": "postgresql://u:p@h/d"}
AGE = (
    "UPDATE reporting.sync_runs SET created_at = now() - interval '{0} days', finished_at = now() - interval '{0} days'"
)
AGE_LOG = "UPDATE reporting.sync_logs SET run_time = now() - interval '{} days'"


def history(suite: LivingSuite, days: int | None = 31) -> History:
    calendar = Calendar(clock=SystemClock(), zone=ZoneInfo("UTC"))
    return History(runs=OldRuns(Database(suite.reporting)), calendar=calendar, days=days)


async def left(suite: LivingSuite) -> list[int]:
    """Return how many runs, counts by job, items and log lines there are."""
    tables = ("sync_runs", "sync_run_jobs", "sync_items", "sync_logs")
    return [await suite.pool.fetchval(f"SELECT count(*) FROM reporting.{table}") for table in tables]


async def test_an_old_run_goes_with_all_it_left_behind(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(2)
    await replica.run(JOB_ALL)
    await suite.pool.execute(AGE.format(33))
    await suite.pool.execute(AGE_LOG.format(33))
    kept = await replica.run(JOB_USER)

    await history(suite).sweep()

    assert await left(suite) == [1, 1, 2, 3]
    assert (await replica.end_of(kept.run_id)).state == sync_pb2.RUN_STATE_SUCCEEDED


async def test_a_run_of_the_first_day_kept_stays(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    await replica.run(JOB_USER)
    await suite.pool.execute(AGE.format(29))
    await suite.pool.execute(AGE_LOG.format(29))
    before = await left(suite)

    await history(suite).sweep()

    assert await left(suite) == before


async def test_an_old_run_at_work_stays(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    replica.stop.set()
    await replica.start(JOB_USER)
    await suite.pool.execute("UPDATE reporting.sync_runs SET created_at = now() - interval '90 days'")

    await history(suite).sweep()

    assert (await left(suite))[:3] == [1, 1, 1]


async def test_portions_leave_nothing_behind(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(3)
    await replica.run(JOB_ALL)
    rows, deleted = OldRuns(Database(suite.reporting)), []
    while count := await rows.forget(datetime(2999, 1, 1, tzinfo=UTC), 2):
        deleted.append(count)

    assert await left(suite) == [0, 0, 0, 0]
    assert max(deleted) <= 6


async def test_without_a_number_of_days_runs_stay(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    await replica.run(JOB_USER)
    await suite.pool.execute(AGE.format(4_000))

    await history(suite, None).sweep()

    assert (await left(suite))[0] == 1


async def test_a_running_service_forgets_by_itself(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    await replica.run(JOB_USER)
    await suite.pool.execute(AGE.format(40))
    async with suite.replica(SYNC_HISTORY_DAYS="31"):
        await suite.until("SELECT count(*) = 0 FROM reporting.sync_runs")


def test_a_year_of_runs_is_kept_unless_told_otherwise() -> None:
    assert parse(SyncSettings, DATABASE).sync_history_days == 400
    with pytest.raises(WrongSetting, match="SYNC_HISTORY_DAYS"):
        parse(SyncSettings, DATABASE | {"SYNC_HISTORY_DAYS": "30"})
