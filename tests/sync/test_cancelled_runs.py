import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from uuid import uuid4

import pytest
from tokhub.sync.v1 import sync_pb2

from libs.database.pool import PoolLimits, open_pool
from libs.errors import DeadlineExceeded, RunNotFound
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.item_rows import ItemRows
from services.sync.adapters.postgres.run_cancelling import RunCancelling
from services.sync.adapters.postgres.run_creation import RunCreation
from services.sync.adapters.postgres.run_rows import RunRows
from services.sync.adapters.queue import JobQueue
from services.sync.domain.items import Claim, Ending, ItemKey, LostItem
from services.sync.domain.jobs import Job
from services.sync.domain.outcomes import Outcome, RunState
from services.sync.domain.runs import PlannedItem, RunPlan, Scope
from services.sync.domain.subjects import Subject
from tests.sync.living_suite import JOB_ALL, JOB_USER, JOB_VIDEO, LivingSuite, Replica
from tests.sync.sample_run import in_one_portion

CANCELLED = sync_pb2.RUN_STATE_CANCELLED
DONE = Ending(outcome=Outcome.SUCCESS, message="done")
RACES = 1_000
FINAL_LINES = "SELECT count(*) FROM reporting.sync_logs WHERE subject_id IS NULL AND run_id = $1"


async def cancel(replica: Replica, run_id: str) -> sync_pb2.Run:
    return (await replica.runs.CancelRun(sync_pb2.CancelRunRequest(run_id=run_id))).run


@pytest.fixture
async def idle(suite: LivingSuite) -> AsyncIterator[Replica]:
    """A service that starts runs and does not work on them."""
    async with suite.replica() as replica:
        replica.stop.set()
        yield replica


async def test_a_waiting_run_ends_where_it_stands(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect_many(2)
    run = await idle.start(JOB_ALL)
    ended = await cancel(idle, run.id)
    assert (ended.state, ended.total, ended.processed) == (CANCELLED, 2, 0)
    assert ended.HasField("finish_time")
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.pgqueuer") == 0


async def test_cancelling_twice_changes_nothing_more(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    run = await idle.start(JOB_USER)
    answers = await asyncio.gather(*(cancel(idle, run.id) for _ in range(20)))
    assert {answer.SerializeToString(deterministic=True) for answer in answers} == {
        answers[0].SerializeToString(deterministic=True)
    }
    assert await suite.pool.fetchval(FINAL_LINES, run.id) == 1


async def test_a_run_that_has_ended_stays_as_it_ended(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    end = await replica.run(JOB_USER)
    assert (await cancel(replica, end.run_id)).state == sync_pb2.RUN_STATE_SUCCEEDED


async def test_an_unknown_run_cannot_be_cancelled(replica: Replica) -> None:
    with pytest.raises(RunNotFound):
        await cancel(replica, str(uuid4()))


async def test_another_replica_cancels_what_one_works_on(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect_busy("shop", pages=3)
    suite.fault("latency", "shop", seconds=1, count=None)
    async with suite.replica() as worker:
        run = await worker.start(JOB_VIDEO)
        await suite.until("SELECT state = 'running' FROM reporting.sync_items")
        watching = asyncio.create_task(worker.end_of(run.id))
        assert (await cancel(idle, run.id)).state == CANCELLED
        assert (await watching).state == CANCELLED
    rows = await suite.row("SELECT count(*) AS videos FROM reporting.tiktok_video_daily")
    assert rows["videos"] == 0


async def test_a_cancelled_scope_can_start_again_at_once(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    replica.stop.set()
    first = await replica.start(JOB_USER)
    await cancel(replica, first.id)
    assert (await replica.start(JOB_USER)).id != first.id


async def test_the_log_tells_how_far_a_cancelled_job_came(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect_many(2)
    await cancel(idle, (await idle.start(JOB_USER)).id)
    line = (await idle.logs())[0]
    assert (line.job_name, line.status) == ("sync_user_daily", sync_pb2.OUTCOME_SKIPPED)
    assert line.message == "Cancelled after 0/2 stores, 0 failed, 0 skipped"


@asynccontextmanager
async def items_held(suite: LivingSuite) -> AsyncIterator[None]:
    async with suite.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM reporting.sync_items FOR UPDATE")
        yield


async def test_a_run_is_cancelled_however_long_its_items_take(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    run = await idle.start(JOB_USER)
    hasty = PoolLimits(statement_timeout=0.1, lock_timeout=10.0)
    async with open_pool(suite.dsn, application="test", schema="reporting", limits=hasty) as pool:
        async with items_held(suite):
            cancelling = asyncio.create_task(RunCancelling(Database(pool)).cancel(run.id))
            await asyncio.wait({cancelling}, timeout=2)
        assert await cancelling


async def test_a_caller_who_leaves_does_not_stop_a_cancelling(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    run = await idle.start(JOB_USER)
    async with items_held(suite):
        with pytest.raises(DeadlineExceeded):
            await idle.runs.CancelRun(sync_pb2.CancelRunRequest(run_id=run.id), timeout=0.5)

    await suite.until("SELECT state = 'cancelled' FROM reporting.sync_runs")


class LastItems:
    """Runs of one item that is at work, over the real rows."""

    def __init__(self, suite: LivingSuite) -> None:
        database = Database(suite.reporting)
        self.rows = RunRows(database)
        self.items = ItemRows(database)
        self.creation = RunCreation(database=database, runs=self.rows, queue=JobQueue())
        self.cancelling = RunCancelling(database)

    async def start(self, number: int) -> Claim:
        subject = Subject.store(f"shop_{number}")
        item = PlannedItem(job=Job.USER, subject=subject)
        scope = Scope(Job.USER, subject)
        items, day = in_one_portion(item), date(2026, 11, 21)
        plan = RunPlan(scope=scope, idempotency_key=None, snapshot_date=day, portions=items)
        run = await self.creation.create(plan)
        claim = await self.items.claim(ItemKey(run.id, Job.USER, subject))
        assert isinstance(claim, Claim)
        return claim

    async def race(self, number: int) -> tuple[bool, bool, RunState]:
        """End the only item and cancel the run at once; return whether each was done, and how the run ended."""
        claim = await self.start(number)
        run_id = claim.key.run_id
        ended, cancelled = await asyncio.gather(
            self.items.end(claim, DONE), self.cancelling.cancel(run_id), return_exceptions=True
        )
        assert not isinstance(ended, BaseException) or isinstance(ended, LostItem)
        run = await self.rows.get(run_id)
        assert run is not None
        return not isinstance(ended, BaseException), cancelled is True, run.state


async def test_a_run_that_ends_while_it_is_cancelled_ends_once(suite: LivingSuite) -> None:
    last = LastItems(suite)
    outcomes = set()
    for first in range(0, RACES, 10):
        outcomes |= set(await asyncio.gather(*(last.race(first + number) for number in range(10))))
    assert outcomes <= {(True, False, RunState.SUCCEEDED), (False, True, RunState.CANCELLED)}
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.sync_items WHERE state <> 'ended'") == 0
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.sync_logs") == await suite.pool.fetchval(
        "SELECT count(*) FROM reporting.sync_runs WHERE state = 'succeeded'"
    )
