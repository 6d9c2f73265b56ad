import pytest
from tokhub.sync.v1 import sync_pb2

from libs.errors import InvalidField, RunAlreadyActive, StoreNotFound
from tests.sync.living_suite import JOB_USER, LivingSuite, Replica

CONNECT = "Skipped: no TikTok account is connected at https://hub.example/connect/tiktok?store_code=never"


@pytest.fixture
def idle(replica: Replica) -> Replica:
    """A service that starts runs and does not work on them."""
    replica.stop.set()
    return replica


def over(*codes: str) -> sync_pb2.StartSyncRequest:
    return sync_pb2.StartSyncRequest(job=JOB_USER, stores=sync_pb2.StoreList(store_codes=codes))


async def listed(
    replica: Replica, page_size: int = 0, page_token: str = "", *, active_only: bool = False
) -> sync_pb2.ListRunsResponse:
    request = sync_pb2.ListRunsRequest(page_size=page_size, page_token=page_token, active_only=active_only)
    return await replica.runs.ListRuns(request)


async def test_a_list_of_stores_is_synced_and_no_other(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(3)
    run = (await replica.runs.StartSync(over("store_002", "store_000"))).run
    assert list(run.store_codes) == ["store_002", "store_000"]
    end = await replica.end_of(run.id)
    assert {one.store_code for one in end.ended_stores} == {"store_000", "store_002"}
    assert (await replica.logs())[0].message == "Synced 2/2 stores, 0 failed, 0 skipped"


async def test_a_listed_store_never_connected_is_skipped_with_its_link(suite: LivingSuite) -> None:
    await suite.connect("shop")
    await suite.add_store("never")
    async with suite.replica(TIKTOK_REDIRECT_URI="https://hub.example/auth/tiktok/callback") as replica:
        run = (await replica.runs.StartSync(over("shop", "never"))).run
        end = await replica.end_of(run.id)
        assert (end.state, end.succeeded, end.skipped) == (sync_pb2.RUN_STATE_SUCCEEDED, 1, 1)
        skipped = (await replica.logs("never"))[0]
    assert (skipped.status, skipped.message) == (sync_pb2.OUTCOME_SKIPPED, CONNECT)


async def test_a_listed_store_that_was_disconnected_must_be_connected_again(
    suite: LivingSuite, replica: Replica
) -> None:
    await suite.connect("gone")
    await suite.pool.execute("UPDATE credentials.connections SET status = 'DISCONNECTED'")
    run = (await replica.runs.StartSync(over("gone"))).run
    (skipped,) = (await replica.end_of(run.id)).ended_stores
    assert (skipped.outcome, skipped.reason) == (sync_pb2.OUTCOME_SKIPPED, "REAUTH_REQUIRED")
    assert (await replica.logs("gone"))[0].message.startswith("Skipped: the TikTok account must be connected again at ")


async def test_a_list_with_an_unknown_store_names_it(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect("shop")
    with pytest.raises(StoreNotFound, match="nowhere"):
        await idle.runs.StartSync(over("shop", "nowhere"))


async def test_the_same_list_in_another_order_is_the_same_scope(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect_many(3)
    first = (await idle.runs.StartSync(over("store_000", "store_001"))).run
    with pytest.raises(RunAlreadyActive) as refused:
        await idle.runs.StartSync(over("store_001", "store_000"))
    assert refused.value.metadata["run_id"] == first.id
    await idle.runs.StartSync(over("store_001", "store_002"))


async def test_an_empty_list_and_a_double_entry_are_refused(idle: Replica) -> None:
    for request in (over(), over("shop", "shop")):
        with pytest.raises(InvalidField):
            await idle.runs.StartSync(request)


async def test_runs_are_listed_newest_first_page_by_page(suite: LivingSuite, idle: Replica) -> None:
    codes = await suite.connect_many(5)
    started = [(await idle.start(JOB_USER, code)).id for code in codes]
    first = await listed(idle, page_size=2)
    second = await listed(idle, page_size=2, page_token=first.next_page_token)
    third = await listed(idle, page_size=2, page_token=second.next_page_token)
    assert [run.id for page in (first, second, third) for run in page.runs] == started[::-1]
    assert third.next_page_token == ""


async def test_active_runs_can_be_listed_alone(suite: LivingSuite, idle: Replica) -> None:
    await suite.connect_many(2)
    ended, active = [(await idle.start(JOB_USER, code)).id for code in ("store_000", "store_001")]
    await idle.runs.CancelRun(sync_pb2.CancelRunRequest(run_id=ended))
    assert [run.id for run in (await listed(idle, active_only=True)).runs] == [active]


async def test_a_token_of_another_list_is_refused(replica: Replica) -> None:
    with pytest.raises(InvalidField):
        await listed(replica, page_token="WyJzdG9yZXMiLCJhIl0")
