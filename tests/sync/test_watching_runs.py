import asyncio

import grpc
from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from tests.sync.living_suite import JOB_ALL, JOB_USER, LivingSuite, Replica

FINAL = (sync_pb2.RUN_STATE_SUCCEEDED, sync_pb2.RUN_STATE_PARTIAL, sync_pb2.RUN_STATE_FAILED)


async def messages_of(replica: Replica, run_id: str, after: int = 0) -> list[sync_pb2.Progress]:
    return [message async for message in replica.watch(run_id, after)]


async def test_a_watch_begins_with_now_and_ends_with_the_end(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(3)
    run = await replica.start(JOB_ALL)
    messages = await messages_of(replica, run.id)
    assert messages[-1].state in FINAL
    assert all(message.state not in FINAL for message in messages[:-1])
    sequences = [message.sequence for message in messages]
    assert sequences == sorted(set(sequences))
    assert (messages[-1].percent, messages[-1].HasField("eta")) == (100.0, False)


async def test_each_ended_store_is_told_once(suite: LivingSuite, replica: Replica) -> None:
    codes = await suite.connect_many(10)
    run = await replica.start(JOB_ALL)
    messages = await messages_of(replica, run.id)
    told = [ended.store_code for message in messages for ended in message.ended_stores]
    assert sorted(told) == codes
    for message in messages:
        assert all(ended.sequence <= message.sequence for ended in message.ended_stores)


async def test_a_watch_resumes_after_the_change_it_saw(suite: LivingSuite, replica: Replica) -> None:
    codes = await suite.connect_many(12)
    run = await replica.start(JOB_USER)
    seen, after = [], 0
    async for message in replica.watch(run.id):
        seen += [ended.store_code for ended in message.ended_stores]
        after = message.sequence
        if seen:
            break
    rest = await replica.end_of(run.id, after)
    seen += [ended.store_code for ended in rest.ended_stores]
    assert sorted(seen) == codes


async def test_a_run_that_has_ended_is_told_in_one_message(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(2)
    end = await replica.run(JOB_USER)
    messages = await messages_of(replica, end.run_id)
    assert len(messages) == 1
    assert len(messages[0].ended_stores) == 2
    assert not (await messages_of(replica, end.run_id, end.sequence))[0].ended_stores


async def test_many_ended_stores_come_in_pages(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    await suite.connect_copies("shop", 1_200, status="REAUTH_REQUIRED")
    end = await replica.run(JOB_USER)
    messages = await messages_of(replica, end.run_id)
    assert max(len(message.ended_stores) for message in messages) <= 500
    assert [message.state in FINAL for message in messages] == [False] * (len(messages) - 1) + [True]
    ended = [ended for message in messages for ended in message.ended_stores]
    assert len({one.store_code for one in ended}) == len({one.sequence for one in ended}) == len(ended) == 1201
    second = [message.sequence for message in messages][1]
    assert len({e.store_code for m in await messages_of(replica, end.run_id, second) for e in m.ended_stores}) == 201


async def test_many_watchers_share_one_reader(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(6)
    run = await replica.start(JOB_ALL)
    ends = await asyncio.gather(*(replica.end_of(run.id) for _ in range(30)))
    assert {len(end.ended_stores) for end in ends} == {6}
    assert {end.sequence for end in ends} == {ends[0].sequence}


async def test_a_watcher_who_stops_reading_holds_nobody_up(suite: LivingSuite, replica: Replica) -> None:
    codes = await suite.connect_many(8)
    run = await replica.start(JOB_ALL)
    # No message fits the window: the service can send nothing that is not being read.
    narrow = [("grpc.http2.lookahead_bytes", 1), ("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(replica.target, options=narrow) as channel:
        request = sync_pb2.WatchSyncRequest(run_id=run.id)
        asleep = aiter(sync_pb2_grpc.SyncServiceStub(channel).WatchSync(request))
        heard = [await anext(asleep)]
        ends = await asyncio.gather(*(replica.end_of(run.id) for _ in range(5)))
        assert {end.state for end in ends} == {sync_pb2.RUN_STATE_SUCCEEDED}
        heard += [message async for message in asleep]
    assert sorted(one.store_code for message in heard for one in message.progress.ended_stores) == codes
    assert heard[-1].progress.state == sync_pb2.RUN_STATE_SUCCEEDED


async def test_a_run_goes_on_when_its_watcher_leaves(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_many(3)
    request = sync_pb2.RunSyncRequest(job=JOB_ALL, all=sync_pb2.AllStores())
    run_id = ""
    async for message in replica.runs.RunSync(request):
        run_id = message.progress.run_id
        break
    assert (await replica.end_of(run_id)).succeeded == 3


async def test_run_sync_starts_and_watches(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect("shop")
    request = sync_pb2.RunSyncRequest(job=JOB_ALL, store_code="shop")
    messages = [message.progress async for message in replica.runs.RunSync(request)]
    assert messages[-1].state == sync_pb2.RUN_STATE_SUCCEEDED
