import asyncio
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from tokhub.sync.v1 import sync_pb2

from libs.errors import (
    ConnectionNotFound,
    DeadlineExceeded,
    InvalidField,
    ReauthRequired,
    RunAlreadyActive,
    RunNotFound,
    StoreNotFound,
)
from tests.sync.living_suite import JOB_ALL, JOB_USER, LivingSuite, Replica


@pytest.fixture
def idle(replica: Replica) -> Replica:
    """A service that starts runs and does not work on them."""
    replica.stop.set()
    return replica


async def test_of_fifty_starts_at_once_one_runs(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    results = await asyncio.gather(*(idle.start(JOB_ALL) for _ in range(50)), return_exceptions=True)
    runs = [result for result in results if isinstance(result, sync_pb2.Run)]
    refusals = [result for result in results if isinstance(result, RunAlreadyActive)]
    assert (len(runs), len(refusals)) == (1, 49)
    assert {refusal.metadata["run_id"] for refusal in refusals} == {runs[0].id}
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.sync_runs") == 1
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.pgqueuer") == 2


async def test_one_idempotency_key_is_one_run(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    runs = await asyncio.gather(*(idle.start(JOB_ALL, key="nightly") for _ in range(20)))
    assert len({run.id for run in runs}) == 1


async def test_an_idempotency_key_of_another_run_is_refused(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    await idle.start(JOB_ALL, key="nightly")
    for job, code in ((JOB_USER, None), (JOB_ALL, "shop")):
        with pytest.raises(InvalidField, match="idempotency_key has started another run than this: take a new one"):
            await idle.start(job, code, key="nightly")


async def test_an_idempotency_key_outlives_its_run(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    first = await replica.start(JOB_USER, key="nightly")
    await replica.end_of(first.id)
    again = await replica.start(JOB_USER, key="nightly")
    assert (again.id, again.state) == (first.id, sync_pb2.RUN_STATE_SUCCEEDED)


async def test_other_scopes_may_run_beside(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    runs = [await idle.start(JOB_ALL), await idle.start(JOB_USER), await idle.start(JOB_USER, "shop")]
    assert len({run.id for run in runs}) == 3


async def test_a_scope_is_free_again_after_its_run(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    first = await replica.run(JOB_USER)
    second = await replica.run(JOB_USER)
    assert first.run_id != second.run_id


async def test_a_caller_who_cannot_wait_leaves_a_run_that_starts(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    request = sync_pb2.StartSyncRequest(job=JOB_ALL, all=sync_pb2.AllStores())
    async with suite.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE reporting.stores IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DeadlineExceeded):
            await idle.runs.StartSync(request, timeout=0.5)
    await suite.until("SELECT count(*) = 1 FROM reporting.sync_runs")


async def test_a_stop_waits_for_a_run_that_is_being_stored(suite: LivingSuite) -> None:
    await suite.connect("shop")
    request = sync_pb2.StartSyncRequest(job=JOB_ALL, all=sync_pb2.AllStores())
    async with AsyncExitStack() as stack:
        replica = await stack.enter_async_context(suite.replica())
        replica.stop.set()
        async with suite.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE reporting.stores IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(DeadlineExceeded):
                await replica.runs.StartSync(request, timeout=0.5)
            leaving = asyncio.create_task(stack.pop_all().aclose())
            await asyncio.sleep(1)
        await leaving
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.sync_runs") == 1


async def test_a_run_over_very_many_stores_has_them_all(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    await suite.connect_copies("shop", 2_500)
    runs = await asyncio.gather(*(idle.start(JOB_ALL) for _ in range(20)), return_exceptions=True)
    (run,) = [run for run in runs if not isinstance(run, RunAlreadyActive)]
    assert isinstance(run, sync_pb2.Run)
    assert (run.total, [part.total for part in run.jobs]) == (2_501, [2_501] * 3)
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.sync_items WHERE state = 'queued'") == 2 * 2_501


async def test_the_planner_knows_at_once_how_long_the_queue_is(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    await suite.connect_copies("shop", 600)
    await idle.start(JOB_USER)
    known = (
        "SELECT reltuples = (SELECT count(*) FROM reporting.{0}) FROM pg_class WHERE oid = 'reporting.{0}'::regclass"
    )
    assert [await suite.pool.fetchval(known.format(table)) for table in ("pgqueuer", "sync_items")] == [True, True]


async def test_an_unknown_store_is_not_found(replica: Replica) -> None:
    with pytest.raises(StoreNotFound):
        await replica.start(JOB_ALL, "nowhere")


async def test_a_store_never_connected_has_no_connection(suite: LivingSuite, replica: Replica) -> None:
    await suite.add_store("shop")
    with pytest.raises(ConnectionNotFound):
        await replica.start(JOB_ALL, "shop")
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.sync_runs") == 0


async def test_a_disconnected_store_must_be_connected_again(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    await suite.pool.execute("UPDATE credentials.connections SET status = 'DISCONNECTED'")
    with pytest.raises(ReauthRequired):
        await replica.start(JOB_ALL, "shop")
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.sync_runs") == 0


async def test_a_run_without_a_scope_is_refused(replica: Replica) -> None:
    with pytest.raises(InvalidField):
        await replica.runs.StartSync(sync_pb2.StartSyncRequest(job=JOB_ALL))


async def test_an_unknown_run_is_not_found(replica: Replica) -> None:
    with pytest.raises(RunNotFound):
        await replica.runs.GetRun(sync_pb2.GetRunRequest(run_id=str(uuid4())))
    with pytest.raises(RunNotFound):
        await replica.end_of(str(uuid4()))
