import asyncio

from tokhub.sync.v1 import sync_pb2

from libs.rpc.client import open_channel
from tests.sync.living_suite import JOB_VIDEO, LivingSuite, Replica
from tests.sync.sync_process import SyncProcess, sync_process

SLOW = {"TIKTOK_RATE_LIMIT_PER_MINUTE": "600"}
UNDER_WAY = "SELECT count(*) > 0 FROM reporting.sync_items WHERE state = 'running' AND cursor IS NOT NULL"


async def started_in(process: SyncProcess, suite: LivingSuite) -> str:
    """Start a run over busy stores and return its id once items are in the middle of their pages."""
    async with open_channel(process.target) as channel:
        run = await Replica(channel, asyncio.Event()).start(JOB_VIDEO)
    await suite.until(UNDER_WAY)
    return run.id


async def test_a_killed_process_resumes_at_the_page_it_had(suite: LivingSuite) -> None:
    codes = [f"shop_{number}" for number in range(4)]
    for code in codes:
        await suite.connect_busy(code, pages=4)
    with sync_process(suite.environment(**SLOW)) as process:
        run_id = await started_in(process, suite)
        process.kill()
    async with suite.replica() as replica:
        end = await replica.end_of(run_id)
    assert (end.state, end.succeeded) == (sync_pb2.RUN_STATE_SUCCEEDED, 4)
    assert end.videos == sum(len(suite.true_videos(code)) for code in codes)
    for code in codes:
        assert await suite.stored_videos(code) == suite.true_videos(code)
        # The page that was in hand may be asked for again, none before it.
        assert suite.calls(code)["video_list"] <= suite.pages(code) + 1


async def test_a_stopped_process_hands_its_items_over_at_once(suite: LivingSuite) -> None:
    await suite.connect_busy("shop", pages=5)
    with sync_process(suite.environment(**SLOW)) as process:
        run_id = await started_in(process, suite)
        status, _ = await asyncio.to_thread(process.terminate)
    item = await suite.row("SELECT state, attempt, cursor FROM reporting.sync_items")
    assert status == 0
    assert (item["state"], item["attempt"]) == ("queued", 0)
    assert item["cursor"] is not None
    async with suite.replica() as replica:
        end = await replica.end_of(run_id)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    assert suite.calls("shop")["video_list"] == suite.pages("shop")


async def test_an_item_whose_job_was_lost_is_queued_again(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    replica.stop.set()
    run = await replica.start(JOB_VIDEO)
    await suite.pool.execute("DELETE FROM reporting.pgqueuer")
    await suite.pool.execute("UPDATE reporting.sync_items SET updated_at = now() - interval '1 minute'")
    async with suite.replica() as other:
        end = await other.end_of(run.id)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
