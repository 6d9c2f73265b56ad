"""Who was not let in is in the audit trail, and a flood of it is not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tokhub.sync.v1 import sync_pb2_grpc as stubs

from libs.clock import SystemClock
from libs.errors import NotAllowed
from libs.rpc.denials import AGAIN, EVERY, Denials
from libs.rpc.recording import DENIED
from tests.rpc.certified import Remembered
from tests.rpc.served_rpc import ASKED, GET_STORE, WATCH_SYNC, WATCHED
from tests.rpc.test_recorded_calls import Full, House


class HandClock(SystemClock):
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path, Remembered())
    async with made.server:
        yield made


async def knock(house: House, who: str, times: int = 1) -> None:
    async with house.channel(who) as channel:
        for _ in range(times):
            with pytest.raises(NotAllowed):
                await stubs.StoreServiceStub(channel).GetStore(ASKED)


async def test_a_denied_call_is_recorded_with_who_tried(house: House) -> None:
    await knock(house, "svc/gateway")
    (record,) = house.trail.records
    assert (record.actor, record.method, record.outcome) == ("svc/gateway", GET_STORE, DENIED)
    assert (record.request, record.request_id != "") == ({}, True)


async def test_a_flood_of_denied_calls_is_one_record(house: House) -> None:
    await knock(house, "svc/gateway", 20)
    await knock(house, "svc/reports", 20)
    assert [record.actor for record in house.trail.records] == ["svc/gateway", "svc/reports"]


async def test_a_denied_stream_is_recorded_too(house: House) -> None:
    async with house.channel("svc/gateway") as channel:
        with pytest.raises(NotAllowed):
            _ = [one async for one in stubs.SyncServiceStub(channel).WatchSync(WATCHED)]
    assert [(record.method, record.outcome) for record in house.trail.records] == [(WATCH_SYNC, DENIED)]


async def test_a_denial_stands_though_it_cannot_be_recorded(tmp_path: Path) -> None:
    house = House(tmp_path, Full(0))
    async with house.server:
        await knock(house, "svc/gateway")


async def test_a_denial_that_could_not_be_recorded_is_counted_in_the_next(tmp_path: Path) -> None:
    clock, trail = HandClock(), Full(0)
    house = House(tmp_path, trail, Denials(clock))
    async with house.server:
        await knock(house, "svc/gateway", 2)
        trail.room = 1
        clock.time = AGAIN
        await knock(house, "svc/gateway")
    assert [record.request for record in trail.records] == [{"unrecorded": 2}]


def test_what_a_flood_left_out_is_counted_in_the_next_record() -> None:
    clock = HandClock()
    denials = Denials(clock)
    assert [denials.due("svc/a", "/m") for _ in range(3)] == [0, None, None]
    assert [denials.due("svc/a", "/n"), denials.due("svc/b", "/m")] == [0, 0]
    clock.time = EVERY
    assert [denials.due("svc/a", "/m") for _ in range(2)] == [2, None]
