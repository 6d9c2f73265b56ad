"""New certificates while calls are going on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry
from tokhub.sync.v1 import sync_pb2 as pb
from tokhub.sync.v1 import sync_pb2_grpc as stubs

from libs.errors import UpstreamUnavailable
from libs.rpc.access import Access
from libs.rpc.actor import current_actor
from libs.rpc.client import open_channel
from libs.rpc.policy import Policy
from libs.rpc.tls import Certificates, Offer
from tests.rpc.certified import HERE, ImpatientClock, Office, Remembered, bare_channel
from tests.rpc.served_rpc import ASKED, STORE_SERVICE, SYNC_SERVICE, WATCHED, Behaviour, server_of

BOTH = frozenset({"svc/one", "svc/two"})
TABLE = {STORE_SERVICE: {"GetStore": BOTH}, SYNC_SERVICE: {"WatchSync": BOTH}}


class Renewal:
    """A server and a client whose files a test can change while they speak."""

    def __init__(self, directory: Path) -> None:
        self.office = Office(directory / "old")
        self.other = Office(directory / "new")
        self.served = self.office.files("svc/sync", hosts=HERE)
        self.called = self.office.files("svc/one")
        self.behaviour = Behaviour()
        access = Access(
            certificates=Certificates(self.served, ImpatientClock()), policy=Policy(TABLE), trail=Remembered()
        )
        self.server = server_of(self.behaviour, CollectorRegistry(), access)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def channel(self) -> grpc.aio.Channel:
        return open_channel(self.target, certificates=Certificates(self.called, ImpatientClock()), timeout=5)


@pytest.fixture
async def renewal(tmp_path: Path) -> AsyncIterator[Renewal]:
    made = Renewal(tmp_path)
    async with made.server:
        yield made


async def test_a_server_shows_its_new_certificate_to_the_next_connection(renewal: Renewal) -> None:
    """Old connections go on, of an authority that new ones no longer have."""
    new = renewal.other.files("svc/one")
    async with renewal.channel() as before, bare_channel(renewal.target, new) as after:
        await stubs.StoreServiceStub(before).GetStore(ASKED)
        renewal.other.issue(renewal.served, "svc/sync", hosts=HERE)
        await stubs.StoreServiceStub(after).GetStore(ASKED, timeout=5)
        await stubs.StoreServiceStub(before).GetStore(ASKED)
    async with renewal.channel() as late:
        with pytest.raises(UpstreamUnavailable):
            await stubs.StoreServiceStub(late).GetStore(ASKED)


async def actor() -> pb.GetStoreResponse:
    return pb.GetStoreResponse(store=pb.Store(store_name=current_actor()))


async def test_a_client_shows_its_new_certificate_at_the_next_call(renewal: Renewal) -> None:
    renewal.behaviour.unary = actor
    async with renewal.channel() as channel:
        stub = stubs.StoreServiceStub(channel)
        names = [(await stub.GetStore(ASKED)).store.store_name]
        renewal.office.issue(renewal.called, "svc/two")
        names.append((await stub.GetStore(ASKED)).store.store_name)
    assert names == ["svc/one", "svc/two"]


async def test_a_stream_outlives_the_renewal_of_its_client(renewal: Renewal) -> None:
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[pb.WatchSyncResponse]:
        yield pb.WatchSyncResponse(progress=pb.Progress(sequence=1))
        await go_on.wait()
        yield pb.WatchSyncResponse(progress=pb.Progress(sequence=2))

    renewal.behaviour.stream = slow
    async with renewal.channel() as channel:
        stream = aiter(stubs.SyncServiceStub(channel).WatchSync(WATCHED))
        seen = [(await anext(stream)).progress.sequence]
        renewal.office.issue(renewal.called, "svc/two")
        await stubs.StoreServiceStub(channel).GetStore(ASKED)
        go_on.set()
        seen += [answer.progress.sequence async for answer in stream]
    assert seen == [1, 2]


def test_a_server_is_given_news_and_nothing_else(tmp_path: Path) -> None:
    """gRPC frees what it has for whatever it is given, while others may still be shaking hands with it."""
    office = Office(tmp_path / "office")
    files = office.files("svc/sync", hosts=HERE)
    offer = Offer(Certificates(files, ImpatientClock()))

    unchanged = [offer.newer(), offer.newer()]
    office.issue(files, "svc/sync", hosts=HERE)
    renewed = [offer.newer(), offer.newer()]

    assert unchanged == [None, None]
    assert [one is None for one in renewed] == [False, True]
