"""What the sync service tells Prometheus of its runs."""

from prometheus_client import CollectorRegistry

from libs.clock import SystemClock
from libs.metrics import LastLook
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.outlook import Outlook
from services.sync.adapters.postgres.slot_log import SlotLog
from services.sync.domain.rate_limit import RateLimit
from tests.sync.living_suite import JOB_ALL, JOB_USER, LivingSuite, Replica


async def seen(suite: LivingSuite) -> CollectorRegistry:
    registry = CollectorRegistry()
    database = Database(suite.reporting)
    outlook = Outlook(database=database, slots=SlotLog(database=database, limit=RateLimit()))
    look = LastLook(outlook.look, every=15, clock=SystemClock())
    registry.register(look)
    await look.refresh()
    return registry


async def test_the_newest_run_over_all_stores_is_told(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(2)
    await replica.run(JOB_ALL)
    await replica.run(JOB_USER, "store_000")

    registry = await seen(suite)

    job = {"sync_job": "all"}
    told = [registry.get_sample_value(f"tokhub_sync_run_{name}", job) for name in ("active", "subjects")]
    ended = registry.get_sample_value("tokhub_sync_run_subjects_ended", job | {"outcome": "SUCCESS"})
    assert [*told, ended] == [0, 2, 2]
    assert (registry.get_sample_value("tokhub_sync_run_last_good_timestamp_seconds", job) or 0) > 1.7e9
    assert registry.get_sample_value("tokhub_sync_run_active", {"sync_job": "user"}) is None
    assert (registry.get_sample_value("tokhub_tiktok_budget_used", {"endpoint": "user/info"}) or 0) >= 3


async def test_work_that_waits_is_told_as_depth(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(2)
    await replica.run(JOB_ALL)
    await suite.pool.execute("UPDATE reporting.sync_runs SET state = 'running', finished_at = NULL")
    await suite.pool.execute(
        "UPDATE reporting.sync_items SET state = 'queued', outcome = NULL, ended_at = NULL WHERE job = 'video'"
    )

    registry = await seen(suite)

    assert registry.get_sample_value("tokhub_sync_items_open", {"sync_job": "video", "state": "queued"}) == 2
    assert registry.get_sample_value("tokhub_sync_items_open", {"sync_job": "user", "state": "queued"}) == 0
    assert registry.get_sample_value("tokhub_sync_runs_active", {"state": "running"}) == 1
    assert registry.get_sample_value("tokhub_sync_run_last_good_timestamp_seconds", {"sync_job": "all"}) is None


async def test_a_look_that_takes_long_does_not_hold_up_the_start(suite: LivingSuite) -> None:
    async with suite.pool.acquire() as database, database.transaction():
        await database.execute("LOCK TABLE reporting.upstream_budgets")

        async with suite.replica() as replica:
            assert list(await replica.logs()) == []
