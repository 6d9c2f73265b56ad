from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from tokhub.sync.v1 import sync_pb2

from libs.clock import SystemClock
from libs.errors import StorageUnavailable, UpstreamUnavailable
from libs.runs.following import Follower, unsaid
from tests.rpc.served_rpc import WATCHED, serve

RUNNING, PARTIAL = sync_pb2.RUN_STATE_RUNNING, sync_pb2.RUN_STATE_PARTIAL
RUN = WATCHED.run_id


class Hurried(SystemClock):
    """A clock that moves by what is slept."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@asynccontextmanager
async def following(
    *streams: Sequence[sync_pb2.Progress | None], waits: Callable[[], None] = unsaid
) -> AsyncIterator[Follower]:
    """Yield a follower of a service that plays a stream for each watch; it goes away at None, and after the last."""
    left = list(streams)

    async def play() -> AsyncIterator[sync_pb2.WatchSyncResponse]:
        for progress in left.pop(0) if left else [None]:
            if progress is None:
                raise StorageUnavailable
            yield sync_pb2.WatchSyncResponse(progress=progress)

    async with serve() as rpc:
        rpc.behaviour.stream = play
        yield Follower(watches=rpc.runs, clock=Hurried(), waits=waits)


def told(sequence: int, state: sync_pb2.RunState.ValueType, *failed: str) -> sync_pb2.Progress:
    ended = [sync_pb2.EndedStore(store_code=code, outcome=sync_pb2.OUTCOME_FAILED) for code in failed]
    return sync_pb2.Progress(run_id=RUN, sequence=sequence, state=state, ended_stores=ended)


async def test_stores_told_after_the_end_survive_a_broken_stream() -> None:
    async with following([told(2, PARTIAL, "a"), None], [told(3, PARTIAL, "b")]) as follower:
        heard = [store.store_code async for one in follower.follow(RUN) for store in one.ended_stores]
    assert heard == ["a", "b"]


async def test_what_was_told_before_a_break_is_not_told_again() -> None:
    async with following([told(1, RUNNING)], [None], [told(1, RUNNING), told(4, PARTIAL)]) as follower:
        assert [one.sequence async for one in follower.follow(RUN)] == [1, 4]


async def test_a_run_of_which_nothing_is_told_is_given_up() -> None:
    async with following([told(1, RUNNING)]) as follower:
        with pytest.raises(UpstreamUnavailable, match=f"Run {RUN} can no longer be followed"):
            _ = [one async for one in follower.follow(RUN)]
        assert follower.clock.monotonic() > follower.patience


async def test_a_break_after_a_long_quiet_is_waited_for() -> None:
    heard = []
    async with following([told(1, RUNNING), None], [None], [told(2, PARTIAL)]) as follower:
        async for one in follower.follow(RUN):
            heard.append(one.sequence)
            await follower.clock.sleep(follower.patience + 1)
    assert heard == [1, 2]


async def test_each_absence_is_told_once() -> None:
    said: list[str] = []
    streams = [told(1, RUNNING), None], [None], [None], [told(2, RUNNING), None], [told(3, PARTIAL)]
    async with following(*streams, waits=lambda: said.append("waits")) as follower:
        assert [one.sequence async for one in follower.follow(RUN)] == [1, 2, 3]
    assert said == ["waits", "waits"]
