from tokhub.sync.v1 import sync_pb2

from tests.sync.living_suite import JOB_ALL, LivingSuite, Replica

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tokhub-%'"


async def test_a_run_survives_the_loss_of_every_connection(suite: LivingSuite, replica: Replica) -> None:
    codes = await suite.connect_many(5)
    run = await replica.start(JOB_ALL)
    await suite.until("SELECT processed > 0 FROM reporting.sync_runs")
    await suite.pool.execute(CUT)
    async with suite.replica() as other:
        end = await other.end_of(run.id)
    assert (end.state, end.succeeded) == (sync_pb2.RUN_STATE_SUCCEEDED, 5)
    for code in codes:
        assert await suite.stored_videos(code) == suite.true_videos(code)
