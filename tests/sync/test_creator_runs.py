import pytest
from tokhub.sync.v1 import account_pb2, sync_pb2

from libs.errors import ConnectionNotFound, InvalidField, RunAlreadyActive
from tests.sync.living_suite import JOB_ALL, JOB_USER, LivingSuite, Replica

STORED = "SELECT DISTINCT subject_id, store_code FROM reporting.{} WHERE subject_kind = 'user'"


async def start(replica: Replica, user: str, job: sync_pb2.Job.ValueType = JOB_ALL) -> sync_pb2.Run:
    return (await replica.runs.StartSync(sync_pb2.StartSyncRequest(job=job, user_id=user))).run


async def test_a_creator_is_synced_and_shown(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_user("u-1")
    run = await start(replica, "u-1")
    end = await replica.end_of(run.id)
    shown = (await replica.stats.GetAccountMetrics(account_pb2.GetAccountMetricsRequest(user_id="u-1"))).metrics

    assert (run.user_id, run.store_code, end.state) == ("u-1", "", sync_pb2.RUN_STATE_SUCCEEDED)
    assert [(one.user_id, one.store_code) for one in end.ended_stores] == [("u-1", "")]
    assert shown.follower_count == suite.truth("u-1")["user"]["follower_count"]
    assert end.videos == len(suite.truth("u-1")["videos"])


async def test_a_creator_has_no_place_among_stores(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_user("u-1")
    await suite.connect("shop")
    await replica.end_of((await start(replica, "u-1")).id)
    end = await replica.run(JOB_USER)

    assert [one.store_code for one in end.ended_stores] == ["shop"]
    assert [tuple(row) for row in await suite.pool.fetch(STORED.format("tiktok_user_daily"))] == [("u-1", None)]
    assert {line.store_code for line in await replica.logs()} == {"", "shop"}


async def test_a_store_and_a_creator_of_one_name_are_two(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_user("same")
    replica.stop.set()
    await start(replica, "same")

    with pytest.raises(RunAlreadyActive):
        await start(replica, "same")
    await suite.connect("same")
    assert (await replica.start(JOB_ALL, "same")).store_code == "same"


async def test_a_creator_without_a_connection_is_told(replica: Replica) -> None:
    with pytest.raises(ConnectionNotFound):
        await start(replica, "nobody")


async def test_a_creator_of_other_characters_is_refused(replica: Replica) -> None:
    with pytest.raises(InvalidField):
        await start(replica, "a b")
