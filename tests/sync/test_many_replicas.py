import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from tokhub.sync.v1 import sync_pb2

from libs.rpc.client import open_channel
from tests.sync.living_suite import JOB_ALL, JOB_USER, JOB_VIDEO, LivingSuite, Replica
from tests.sync.sync_process import SyncProcess, sync_process

RUNNING = "SELECT count(*) FROM reporting.sync_items WHERE state = 'running'"
UNDER_WAY = "SELECT count(*) >= 3 FROM reporting.sync_items WHERE state = 'running' AND cursor IS NOT NULL"
ENDED = "SELECT count(*) >= 5 FROM reporting.sync_items WHERE state = 'ended'"
PLACES = {"VIDEO_SYNC_CONCURRENCY": "2"}


@asynccontextmanager
async def asking(process: SyncProcess) -> AsyncIterator[Replica]:
    async with open_channel(process.target) as channel:
        yield Replica(channel, asyncio.Event())


async def busy_stores(suite: LivingSuite, count: int) -> list[str]:
    codes = [f"shop_{number:02}" for number in range(count)]
    for code in codes:
        await suite.connect_busy(code, pages=4)
    return codes


async def test_another_replica_adds_its_places_to_a_run(suite: LivingSuite) -> None:
    await busy_stores(suite, 9)
    # One call, and the others wait for a window: four stores to a place.
    settings = {"VIDEO_SYNC_CONCURRENCY": "1", "TIKTOK_RATE_LIMIT_PER_MINUTE": "1"}
    async with suite.replica(**settings) as first, asyncio.timeout(60):
        await first.start(JOB_VIDEO)
        await suite.until(f"SELECT ({RUNNING}) = 4")
        async with suite.replica(**settings):
            await suite.until(f"SELECT ({RUNNING}) = 8")


async def test_a_long_call_is_not_delivered_to_another_replica(suite: LivingSuite) -> None:
    await suite.connect("shop")
    suite.fault("latency", "shop", endpoint="user", seconds=9)
    async with suite.replica() as first, suite.replica(), asyncio.timeout(60):
        end = await first.run(JOB_USER)
    assert end.succeeded == 1
    assert await suite.pool.fetchval("SELECT fence FROM reporting.sync_items") == 1


async def test_killed_replicas_lose_and_double_nothing(suite: LivingSuite) -> None:
    codes = await busy_stores(suite, 12)
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(sync_process(suite.environment(**PLACES))) for _ in range(3))
        async with asking(first) as replica:
            run = await replica.start(JOB_VIDEO)
        await suite.until(UNDER_WAY)
        first.kill()
        await suite.until(ENDED)
        second.kill()
        stack.enter_context(sync_process(suite.environment(**PLACES)))
        async with asking(third) as replica, asyncio.timeout(60):
            end = await replica.end_of(run.id)
    assert (end.state, end.succeeded) == (sync_pb2.RUN_STATE_SUCCEEDED, 12)
    assert sorted(ended.store_code for ended in end.ended_stores) == codes
    for code in codes:
        assert await suite.stored_videos(code) == suite.true_videos(code)
        # The page in hand may be asked for again, once for each that died.
        assert suite.calls(code)["video_list"] <= suite.pages(code) + 2


async def test_a_person_does_not_wait_behind_a_run_over_many(suite: LivingSuite) -> None:
    await suite.connect_many(8)
    # The window has 5 calls for the run; then it waits for minutes, all places taken.
    settings = {"TIKTOK_RATE_LIMIT_PER_MINUTE": "10", "TIKTOK_INTERACTIVE_SHARE": "0.5", "SYNC_CONCURRENCY": "2"}
    async with suite.replica(**settings) as replica:
        everything = await replica.start(JOB_USER)
        await suite.until("SELECT count(*) = 5 FROM reporting.sync_items WHERE state = 'ended'")
        await suite.connect("shop")
        async with asyncio.timeout(20):
            end = await replica.run(JOB_ALL, "shop")
        assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
        shown = await replica.runs.GetRun(sync_pb2.GetRunRequest(run_id=everything.id))
    assert shown.run.processed == 5


async def test_a_stopped_process_gives_back_what_waits_for_a_slot(suite: LivingSuite) -> None:
    await suite.connect_many(3)
    with sync_process(suite.environment(TIKTOK_RATE_LIMIT_PER_MINUTE="1")) as process:
        async with asking(process) as replica:
            await replica.start(JOB_USER)
        await suite.until(f"SELECT ({RUNNING}) = 2 AND count(*) = 1 FROM reporting.sync_items WHERE state = 'ended'")
        status, lines = await asyncio.to_thread(process.terminate)
    assert status == 0
    assert not any("cut off" in line["msg"] for line in lines)
    rows = await suite.pool.fetch("SELECT state, attempt FROM reporting.sync_items WHERE state <> 'ended'")
    assert [tuple(row) for row in rows] == [("queued", 0)] * 2
