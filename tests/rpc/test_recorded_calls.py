"""What callers do is in the audit trail, without the secrets they sent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry
from tokhub.sync.v1 import sync_pb2 as pb
from tokhub.sync.v1 import sync_pb2_grpc as stubs
from tokhub.token.v1 import token_pb2

from libs.clock import SystemClock
from libs.errors import InvalidField, StorageUnavailable, StoreNotFound, TokhubError
from libs.rpc.access import Access
from libs.rpc.actor import bind_actor
from libs.rpc.denials import Denials
from libs.rpc.policy import FOR_A_KEY, Policy
from libs.rpc.recording import BEGUN, Record, without_secrets
from tests.rpc.certified import HERE, Office, Remembered
from tests.rpc.served_rpc import (
    ASKED,
    GET_STORE,
    STORE_SERVICE,
    SYNC_SERVICE,
    WATCH_SYNC,
    WATCHED,
    Behaviour,
    server_of,
    until,
)

BOTH = frozenset({"operator", "svc/sync"})
TABLE = {STORE_SERVICE: {"GetStore": BOTH}, SYNC_SERVICE: {"WatchSync": BOTH}}
RECORDED = {
    STORE_SERVICE: {"GetStore": frozenset({"operator", FOR_A_KEY})},
    SYNC_SERVICE: {"WatchSync": frozenset({"operator"})},
}


class Full(Remembered):
    """A trail that keeps nothing more after so many records."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    async def append(self, record: Record) -> None:
        if len(self.records) >= self.room:
            raise StorageUnavailable
        await super().append(record)


class House:
    """A server that records what operators do."""

    def __init__(self, directory: Path, trail: Remembered, denials: Denials | None = None) -> None:
        self.trail = trail
        self.office = Office(directory / "office")
        self.behaviour = Behaviour()
        self.asked = 0
        certificates = self.office.certificates("svc/token", *HERE)
        counted = denials or Denials(SystemClock())
        access = Access(certificates=certificates, policy=Policy(TABLE, RECORDED), trail=trail, denials=counted)
        self.server = server_of(self.behaviour, CollectorRegistry(), access)

    def channel(self, who: str) -> grpc.aio.Channel:
        return self.office.channel(f"127.0.0.1:{self.server.port}", who)

    async def ask(self, who: str, request: pb.GetStoreRequest = ASKED) -> None:
        async with self.channel(who) as channel:
            await stubs.StoreServiceStub(channel).GetStore(request)

    async def both_recorded(self) -> bool:
        return len(self.trail.records) == 2

    @property
    def outcomes(self) -> list[str]:
        return [record.outcome for record in self.trail.records]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path, Remembered())
    async with made.server:
        yield made


async def test_an_operators_call_is_recorded_from_its_beginning_to_its_end(house: House) -> None:
    await house.ask("operator/alice")
    begun, ended = house.trail.records
    assert (begun.actor, begun.method, begun.request) == ("operator/alice", GET_STORE, {"storeCode": "shop-1"})
    assert (begun.outcome, ended.outcome) == (BEGUN, "OK")
    assert begun.call == ended.call
    assert begun.request_id == ended.request_id != ""


async def test_a_call_for_the_holder_of_a_key_is_recorded(house: House) -> None:
    bind_actor("key/ops")
    await house.ask("svc/sync")
    assert {record.actor for record in house.trail.records} == {"svc/sync for key/ops"}


async def test_a_service_of_another_role_is_not_recorded(house: House) -> None:
    await house.ask("svc/sync")
    assert house.trail.records == []


async def test_a_stream_is_recorded_too(house: House) -> None:
    async with house.channel("operator/alice") as channel:
        assert len([one async for one in stubs.SyncServiceStub(channel).WatchSync(WATCHED)]) == 3
    assert [(record.method, record.outcome) for record in house.trail.records] == [
        (WATCH_SYNC, BEGUN),
        (WATCH_SYNC, "OK"),
    ]


async def test_a_failure_is_recorded_by_its_reason(house: House) -> None:
    house.behaviour.fail(StoreNotFound())
    with pytest.raises(StoreNotFound):
        await house.ask("operator/alice")
    house.behaviour.fail(RuntimeError("CNRYsecret"))
    with pytest.raises(TokhubError):
        await house.ask("operator/alice")
    assert house.outcomes == [BEGUN, "STORE_NOT_FOUND", BEGUN, "INTERNAL"]


async def test_a_call_that_its_caller_left_is_recorded_as_cancelled(house: House) -> None:
    begun = house.behaviour.hang()
    async with house.channel("operator/alice") as channel:
        call = asyncio.ensure_future(stubs.StoreServiceStub(channel).GetStore(ASKED))
        await begun.wait()
        call.cancel()
        await until(house.both_recorded)
    assert house.outcomes == [BEGUN, "CANCELLED"]


async def test_a_request_that_breaks_its_rules_is_no_call(house: House) -> None:
    with pytest.raises(InvalidField):
        await house.ask("operator/alice", pb.GetStoreRequest(store_code="!"))
    assert house.trail.records == []


async def test_without_a_record_nothing_is_done(tmp_path: Path) -> None:
    house = House(tmp_path, Full(0))
    begun = house.behaviour.hang()
    async with house.server:
        with pytest.raises(StorageUnavailable):
            await house.ask("operator/alice")
    assert not begun.is_set()


async def test_what_was_done_is_answered_though_its_end_cannot_be_recorded(tmp_path: Path) -> None:
    house = House(tmp_path, Full(1))
    async with house.server:
        await house.ask("operator/alice")
    assert house.outcomes == [BEGUN]


def test_a_record_holds_no_secret() -> None:
    entry = token_pb2.ImportEntry(name="Shop", access_token="CNRYaccess", refresh_token="CNRYrefresh")
    shown = without_secrets(token_pb2.ImportConnectionsRequest(entries=[entry, entry]))
    assert shown == {"entries": [{"name": "Shop"}] * 2}
    assert entry.refresh_token
    completed = token_pb2.CompleteAuthorizationRequest(state="CNRYstate", code="CNRYcode", browser_nonce="CNRYnonce")
    assert without_secrets(completed) == {}
    assert completed.code == "CNRYcode"
