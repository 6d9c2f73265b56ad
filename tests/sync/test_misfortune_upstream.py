import pytest
from tokhub.sync.v1 import sync_pb2

from tests.sync.living_suite import JOB_ALL, JOB_USER, JOB_VIDEO, LivingSuite, Replica


@pytest.mark.parametrize("kind", ["500", "503", "html", "answer_lost", "truncated"])
async def test_a_call_that_fails_once_is_repeated(suite: LivingSuite, replica: Replica, kind: str) -> None:
    await suite.connect("shop")
    suite.fault(kind, "shop", endpoint="user")
    end = await replica.run(JOB_USER)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    assert suite.calls("shop")["user_info"] == 2


async def test_a_page_that_fails_is_asked_for_again(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_busy("shop", pages=3)
    suite.fault("503", "shop", endpoint="video", skip=1)
    end = await replica.run(JOB_VIDEO)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    assert await suite.stored_videos("shop") == suite.true_videos("shop")
    assert suite.calls("shop")["video_list"] == suite.pages("shop") + 1


async def test_a_429_slows_the_whole_endpoint_down(suite: LivingSuite) -> None:
    await suite.connect("first")
    await suite.connect("second")
    suite.fault("429", "first", endpoint="user")
    async with suite.replica(SYNC_CONCURRENCY="1") as replica:
        end = await replica.run(JOB_USER)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    # Without Retry-After the endpoint rests for five seconds, for the store that was not refused as well.
    rest = "SELECT min(ended_at) - min(first_started_at) FROM reporting.sync_items"
    assert (await suite.pool.fetchval(rest)).total_seconds() > 4.9


async def test_a_token_rejected_in_between_is_replaced_once(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_busy("shop", pages=3)
    suite.fault("access_token_invalid", "shop", endpoint="video", skip=1)
    end = await replica.run(JOB_VIDEO)
    assert end.state == sync_pb2.RUN_STATE_SUCCEEDED
    assert await suite.stored_videos("shop") == suite.true_videos("shop")
    assert suite.sandbox.ledger(suite.accounts["shop"])["refreshes"] == 1
    assert suite.calls("shop")["video_list"] == suite.pages("shop") + 1


async def test_a_token_rejected_twice_fails_the_store(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    await suite.connect("other")
    suite.fault("access_token_invalid", "shop", endpoint="user", count=2)
    end = await replica.run(JOB_USER)
    assert (end.state, end.succeeded, end.failed) == (sync_pb2.RUN_STATE_PARTIAL, 1, 1)
    assert suite.sandbox.ledger(suite.accounts["shop"])["refreshes"] == 1


async def test_an_account_that_took_its_consent_back_is_skipped(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    suite.sandbox.control.post(f"/sandbox/accounts/{suite.accounts['shop']}/revoke").raise_for_status()
    end = await replica.run(JOB_ALL, "shop")
    assert (end.state, end.skipped) == (sync_pb2.RUN_STATE_SUCCEEDED, 1)
    assert end.ended_stores[0].reason == "REAUTH_REQUIRED"


async def test_a_token_service_that_is_away_is_waited_for(suite: LivingSuite) -> None:
    await suite.connect("shop")
    async with suite.replica() as starter:
        starter.stop.set()
        run = await starter.start(JOB_USER)
    async with suite.replica(TOKEN_TARGET="127.0.0.1:1"):
        await suite.until("SELECT attempt > 0 AND state = 'queued' FROM reporting.sync_items")
    assert await suite.pool.fetchval("SELECT reason FROM reporting.sync_items") == "UPSTREAM_UNAVAILABLE"
    async with suite.replica() as replica:
        assert (await replica.end_of(run.id)).state == sync_pb2.RUN_STATE_SUCCEEDED


async def test_an_item_that_never_ends_is_given_up(suite: LivingSuite) -> None:
    await suite.connect("shop")
    async with suite.replica() as starter:
        starter.stop.set()
        run = await starter.start(JOB_USER)
    # As if five processes had died with it.
    await suite.pool.execute("UPDATE reporting.sync_items SET state = 'running', attempt = 5, fence = 5")
    async with suite.replica() as replica:
        end = await replica.end_of(run.id)
    assert (end.failed, end.ended_stores[0].reason) == (1, "INTERNAL")
