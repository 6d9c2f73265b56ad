from collections import Counter
from datetime import timedelta

from tokhub.sync.v1 import sync_pb2

from tests.sync.living_suite import JOB_ALL, JOB_REFRESH, JOB_USER, JOB_VIDEO, LivingSuite, Replica

ROWS = """
SELECT (SELECT count(*) FROM reporting.tiktok_user_daily) AS accounts,
       (SELECT count(*) FROM reporting.tiktok_video_daily) AS videos,
       (SELECT max(fetched_at) FROM reporting.tiktok_video_daily) AS newest
"""


def counts_of(end: sync_pb2.Progress, job: sync_pb2.Job.ValueType) -> sync_pb2.JobProgress:
    return next(counts for counts in end.jobs if counts.job == job)


async def test_a_run_stores_everything_tiktok_shows(suite: LivingSuite, replica: Replica) -> None:
    codes = await suite.connect_many(4)
    end = await replica.run(JOB_ALL)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    assert (end.total, end.processed, end.succeeded, end.failed, end.skipped) == (4, 4, 4, 0, 0)
    assert {ended.store_code for ended in end.ended_stores} == set(codes)
    for code in codes:
        assert await suite.stored_videos(code) == suite.true_videos(code)


async def test_all_that_is_kept_of_an_account_is_told(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    await replica.run(JOB_USER, "shop")
    (day,) = (await replica.stats.ListUserStats(sync_pb2.ListUserStatsRequest(store_code="shop"))).stats
    told = {field.name: value for field, value in day.ListFields()}
    assert set(told) == {field.name for field in day.DESCRIPTOR.fields}
    user = suite.truth("shop")["user"]
    assert told == told | {name: user[name] for name in told if name in user}


async def test_a_store_shows_its_newest_figures_after_a_run(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    await replica.run(JOB_ALL, "shop")
    truth = suite.truth("shop")
    store = (await replica.stores.GetStore(sync_pb2.GetStoreRequest(store_code="shop"))).store
    assert store.latest_user_stats.follower_count == truth["user"]["follower_count"]
    assert store.latest_video_stats.total_views == sum(video["view_count"] for video in truth["videos"])
    assert store.HasField("last_sync_time")


async def test_a_second_run_of_a_day_adds_no_row(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(3)
    await replica.run(JOB_ALL)
    first = await suite.row(ROWS)
    end = await replica.run(JOB_ALL)
    second = await suite.row(ROWS)
    assert (second["accounts"], second["videos"]) == (first["accounts"], first["videos"])
    assert end.videos == first["videos"]
    assert second["newest"] > first["newest"]


async def test_the_log_tells_of_stores_and_of_whole_jobs(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(2)
    await replica.run(JOB_USER)
    user = suite.truth("store_000")["user"]
    lines = await replica.logs()
    of_store = next(line for line in lines if line.store_code == "store_000")
    of_job = next(line for line in lines if not line.HasField("store_code"))
    assert of_store.job_name == of_job.job_name == "sync_user_daily"
    assert of_store.message == (
        f"User stats synced successfully: {user['follower_count']} followers, {user['video_count']} videos"
    )
    assert of_job.message == "Synced 2/2 stores, 0 failed, 0 skipped"
    assert len(lines) == 3


async def test_a_run_with_failures_is_partial(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("good")
    await suite.connect("no_videos_allowed", without=("video.list",))
    end = await replica.run(JOB_ALL)
    assert end.state == sync_pb2.RUN_STATE_PARTIAL
    assert (end.succeeded, end.failed) == (1, 1)
    failed = next(ended for ended in end.ended_stores if ended.store_code == "no_videos_allowed")
    assert (failed.outcome, failed.reason) == (sync_pb2.OUTCOME_FAILED, "SCOPE_MISSING")
    assert "video.list" in failed.message
    assert (counts_of(end, JOB_USER).failed, counts_of(end, JOB_VIDEO).failed) == (0, 1)


async def test_a_run_in_which_nothing_succeeds_has_failed(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop", without=("video.list",))
    end = await replica.run(JOB_VIDEO)
    assert end.state == sync_pb2.RUN_STATE_FAILED
    lines = await replica.logs()
    assert lines[0].status == lines[1].status == sync_pb2.OUTCOME_FAILED


async def test_stores_that_must_reconnect_are_skipped_at_once(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("good")
    await suite.connect("revoked")
    await suite.pool.execute("UPDATE credentials.connections SET status = 'REAUTH_REQUIRED' WHERE owner_id = 'revoked'")
    run = await replica.start(JOB_ALL)
    assert (run.total, run.skipped, run.sequence) == (2, 1, 1)
    end = await replica.end_of(run.id)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    assert (end.succeeded, end.skipped) == (1, 1)
    skipped = next(ended for ended in end.ended_stores if ended.store_code == "revoked")
    assert (skipped.outcome, skipped.reason) == (sync_pb2.OUTCOME_SKIPPED, "REAUTH_REQUIRED")
    lines = await replica.logs("revoked")
    assert {line.status for line in lines} == {sync_pb2.OUTCOME_SKIPPED}
    assert all(line.message.endswith(" at http://127.0.0.1:3000/connect/tiktok?store_code=revoked") for line in lines)


async def test_stores_without_a_connection_are_not_in_a_run(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("good")
    await suite.connect("gone")
    await suite.add_store("never_connected")
    await suite.pool.execute("UPDATE credentials.connections SET status = 'DISCONNECTED' WHERE owner_id = 'gone'")
    end = await replica.run(JOB_USER)
    assert end.total == 1


async def test_a_run_over_no_store_succeeds_at_once(replica: Replica) -> None:
    end = await replica.run(JOB_ALL)
    assert (end.state, end.total, end.percent) == (sync_pb2.RUN_STATE_SUCCEEDED, 0, 100.0)
    assert [line.message for line in await replica.logs()][-1] == "Synced 0/0 stores, 0 failed, 0 skipped"


async def test_a_refresh_run_leaves_fresh_tokens_alone(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(2)
    end = await replica.run(JOB_REFRESH)
    assert (end.succeeded, counts_of(end, JOB_REFRESH).refreshed) == (2, 0)
    await suite.pool.execute(
        "UPDATE credentials.connections SET access_expires_at = clock_timestamp() + interval '30 minutes',"
        " received_at = clock_timestamp() - interval '90 minutes' WHERE owner_id = 'store_001'"
    )
    end = await replica.run(JOB_REFRESH)
    assert counts_of(end, JOB_REFRESH).refreshed == 1


async def test_tokens_that_are_not_due_have_ended_with_the_start(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(2)
    replica.stop.set()
    run = await replica.start(JOB_ALL)
    assert [(part.processed, part.succeeded) for part in run.jobs] == [(0, 0), (0, 0), (2, 2)]
    assert (run.processed, run.state) == (0, sync_pb2.RUN_STATE_QUEUED)
    messages = Counter(line.message for line in await replica.logs())
    assert messages == {"Token is still valid: no refresh was due": 2, "Refreshed 0/2 tokens, 0 failed, 0 skipped": 1}


async def test_a_stores_duration_is_that_of_its_work(suite: LivingSuite) -> None:
    await suite.connect("shop")
    async with suite.replica() as starter:
        starter.stop.set()
        run = await starter.start(JOB_ALL)
    await suite.pool.execute("UPDATE reporting.sync_items SET ended_at = ended_at - interval '1 hour'")
    async with suite.replica() as worker:
        end = await worker.end_of(run.id)
    assert end.ended_stores[0].duration.ToTimedelta() < timedelta(minutes=1)


async def test_a_run_of_one_store_says_how_it_ended(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    end = await replica.run(JOB_ALL, "shop")
    shown = await replica.runs.GetRun(sync_pb2.GetRunRequest(run_id=end.run_id))
    videos = len(suite.truth("shop")["videos"])
    assert shown.run.state == sync_pb2.RUN_STATE_SUCCEEDED
    assert shown.ended_stores[0].records == 1 + videos
    assert shown.run.videos == videos
    assert all(line.HasField("store_code") for line in await replica.logs())


async def test_overlapping_runs_both_finish(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(3)
    everything = await replica.start(JOB_ALL)
    one = await replica.start(JOB_ALL, "store_001")
    assert (await replica.end_of(one.id)).state == sync_pb2.RUN_STATE_SUCCEEDED
    assert (await replica.end_of(everything.id)).state == sync_pb2.RUN_STATE_SUCCEEDED


async def test_two_services_share_a_run_and_double_nothing(suite: LivingSuite, replica: Replica) -> None:
    codes = await suite.connect_many(8)
    async with suite.replica() as other:
        run = await replica.start(JOB_ALL)
        one, two = await replica.end_of(run.id), await other.end_of(run.id)
    assert one.succeeded == two.succeeded == 8
    assert [ended.sequence for ended in one.ended_stores] == [ended.sequence for ended in two.ended_stores]
    for code in codes:
        assert suite.calls(code) == {"token": 1, "user_info": 1, "video_list": suite.pages(code)}
