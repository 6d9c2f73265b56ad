import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from tokhub.sync.v1 import sync_pb2 as pb
from tokhub.sync.v1 import sync_pb2_grpc as stubs

from libs.errors import DeadlineExceeded, UpstreamUnavailable
from libs.rpc import interceptor
from libs.rpc.client import open_channel
from libs.rpc.status import STATUS_KEY
from tests.rpc.served_rpc import ASKED, GET_STORE, WATCHED, Served, until


async def test_our_deadline_error_arrives_before_grpc_s(served: Served, plain_channel: grpc.aio.Channel) -> None:
    served.behaviour.hang()

    async def worded() -> bool:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stubs.StoreServiceStub(plain_channel).GetStore(ASKED, timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return STATUS_KEY in dict(caught.value.trailing_metadata())

    await until(worded)  # a busy machine may lose the race now and then
    assert served.calls(GET_STORE, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")


async def test_a_call_without_deadline_gets_the_server_s(
    served: Served, plain_channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptor, "DEFAULT_TIMEOUT", 0.05)
    served.behaviour.hang()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.StoreServiceStub(plain_channel).GetStore(ASKED)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_client_of_the_suite_has_a_deadline_by_itself(served: Served) -> None:
    served.behaviour.hang()
    async with open_channel(served.target, timeout=0.2) as channel:
        with pytest.raises(DeadlineExceeded):
            await stubs.StoreServiceStub(channel).GetStore(ASKED)


async def test_a_deadline_of_the_caller_wins(served: Served) -> None:
    served.behaviour.hang()
    with pytest.raises(DeadlineExceeded):
        await served.stores.GetStore(ASKED, timeout=0.2)


async def test_nobody_listening_is_try_later(served: Served) -> None:
    async with open_channel("127.0.0.1:1") as channel:
        with pytest.raises(UpstreamUnavailable, match="cannot be reached"):
            await stubs.StoreServiceStub(channel).GetStore(ASKED, timeout=5)
    assert served.calls(GET_STORE, "OK") is None


async def test_a_caller_that_leaves_cancels_the_method(served: Served) -> None:
    begun = served.behaviour.hang()
    call = asyncio.ensure_future(served.stores.GetStore(ASKED))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    async def counted() -> bool:
        return served.calls(GET_STORE, "CANCELLED") == 1

    await until(counted)


class Endless:
    """A stream that never ends, and says when it was cancelled."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def __call__(self) -> AsyncIterator[pb.WatchSyncResponse]:
        try:
            yield pb.WatchSyncResponse(progress=pb.Progress(sequence=1))
            await asyncio.Future()
        finally:
            self.ended.set()


async def test_cancelling_a_stream_cancels_the_method(served: Served) -> None:
    served.behaviour.stream = endless = Endless()
    call = served.runs.WatchSync(WATCHED)
    async for answer in call:
        assert answer.progress.sequence == 1
        break
    call.cancel()
    await asyncio.wait_for(endless.ended.wait(), 5)


async def test_cancelling_who_watches_cancels_the_method(served: Served) -> None:
    served.behaviour.stream = endless = Endless()
    seen = asyncio.Event()

    async def watch() -> None:
        async for _ in served.runs.WatchSync(WATCHED):
            seen.set()

    watching = asyncio.create_task(watch())
    await asyncio.wait_for(seen.wait(), 5)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    await asyncio.wait_for(endless.ended.wait(), 5)


async def test_a_stream_outlives_the_client_s_default_deadline(served: Served) -> None:
    async def slow() -> AsyncIterator[pb.WatchSyncResponse]:
        await asyncio.sleep(0.4)
        yield pb.WatchSyncResponse(progress=pb.Progress(sequence=1))

    served.behaviour.stream = slow
    async with open_channel(served.target, timeout=0.1) as channel:
        answers = [one async for one in stubs.SyncServiceStub(channel).WatchSync(WATCHED)]
    assert len(answers) == 1
