import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry
from tokhub.sync.v1 import sync_pb2 as pb
from tokhub.sync.v1 import sync_pb2_grpc as stubs

from deploy.local.authority import names_of
from libs.errors import NotAllowed, ServerMisconfig, TokhubError, UpstreamUnavailable
from libs.rpc.access import Access
from libs.rpc.actor import bind_actor, current_actor
from libs.rpc.policy import Policy
from libs.rpc.server import Readiness, RpcServer
from libs.rpc.tls import TlsFiles
from tests.rpc.certified import HERE, Office, Remembered, bare_channel, uri_of
from tests.rpc.served_rpc import ASKED, STORE_SERVICE, SYNC_SERVICE, WATCHED, Behaviour, server_of

READER = "svc/reports"
TABLE = {
    STORE_SERVICE: {"GetStore": frozenset({READER})},
    SYNC_SERVICE: {"WatchSync": frozenset({"operator"})},
}


class House:
    """A server with certificates, and the office that knows everybody."""

    def __init__(self, directory: Path) -> None:
        self.office = Office(directory / "office")
        self.behaviour = Behaviour()
        access = Access(
            certificates=self.office.certificates("svc/sync", *HERE), policy=Policy(TABLE), trail=Remembered()
        )
        self.server = server_of(self.behaviour, CollectorRegistry(), access)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def channel(self, who: str) -> grpc.aio.Channel:
        return self.office.channel(self.target, who)

    async def ask(self, who: str) -> pb.GetStoreResponse:
        async with self.channel(who) as channel:
            return await stubs.StoreServiceStub(channel).GetStore(ASKED)

    async def watch(self, who: str) -> int:
        async with self.channel(who) as channel:
            return len([answer async for answer in stubs.SyncServiceStub(channel).WatchSync(WATCHED)])


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    async with made.server:
        yield made


async def failure(channel: grpc.aio.Channel) -> grpc.StatusCode:
    """How a call fails whose client is not ours."""
    async with channel:
        get: Any = channel.unary_unary(
            f"/{STORE_SERVICE}/GetStore", request_serializer=pb.GetStoreRequest.SerializeToString
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get(ASKED, timeout=5)
    return caught.value.code()


async def test_a_caller_that_the_policy_names_is_answered(house: House) -> None:
    assert (await house.ask(READER)).store.store_name


async def test_a_stream_is_for_those_whom_the_policy_names(house: House) -> None:
    assert await house.watch("operator/alice") == 3
    with pytest.raises(NotAllowed):
        await house.watch(READER)


async def test_a_caller_is_told_what_it_may_not_call(house: House) -> None:
    with pytest.raises(NotAllowed, match=f"operator/alice may not call /{STORE_SERVICE}/GetStore"):
        await house.ask("operator/alice")


async def test_a_method_in_no_table_is_for_nobody(house: House) -> None:
    async with house.channel(READER) as channel:
        create: Any = channel.unary_unary(f"/{STORE_SERVICE}/CreateStore")
        with pytest.raises(NotAllowed):
            await create(b"", timeout=5)


async def test_the_denied_learn_nothing_of_their_requests_faults(house: House) -> None:
    async with house.channel("svc/stranger") as channel:
        with pytest.raises(NotAllowed):
            await stubs.StoreServiceStub(channel).GetStore(pb.GetStoreRequest(store_code="!"))


@pytest.mark.parametrize(
    "who",
    [
        "spiffe://elsewhere/svc/reports",
        "https://tokhub/svc/reports",
        "spiffe://tokhub/reports",
        "spiffe://tokhub/svc/",
        "spiffe://tokhub/svc/reports/more",
        "spiffe://tokhub/role/operator",
    ],
)
async def test_a_certificate_of_nobody_here_is_denied(house: House, who: str) -> None:
    with pytest.raises(NotAllowed, match="only spiffe://tokhub/svc/NAME"):
        await house.ask(who)


async def test_a_service_called_operator_is_no_operator(house: House) -> None:
    with pytest.raises(NotAllowed):
        await house.watch("svc/operator")


async def test_several_names_are_nobodys(house: House) -> None:
    both = [*names_of(uri_of(READER), ()), *names_of(uri_of("operator/alice"), ())]
    files = house.office.files_with(both)
    assert await failure(bare_channel(house.target, files)) is grpc.StatusCode.PERMISSION_DENIED


async def test_a_host_that_looks_like_a_name_is_none(house: House) -> None:
    files = house.office.files_with([x509.DNSName(uri_of(READER))])
    assert await failure(bare_channel(house.target, files)) is grpc.StatusCode.PERMISSION_DENIED


async def test_nobody_speaks_without_a_certificate(house: House) -> None:
    files = house.office.files(READER)
    assert await failure(bare_channel(house.target, files, certified=False)) is grpc.StatusCode.UNAVAILABLE
    assert await failure(grpc.aio.insecure_channel(house.target)) is grpc.StatusCode.UNAVAILABLE


async def test_nobody_speaks_with_an_expired_certificate(house: House) -> None:
    files = house.office.files(READER, age=timedelta(days=2))
    assert await failure(bare_channel(house.target, files)) is grpc.StatusCode.UNAVAILABLE


async def test_nobody_speaks_with_another_authoritys_certificate(house: House, tmp_path: Path) -> None:
    known, foreign = house.office.files(READER), Office(tmp_path / "elsewhere").files(READER)
    mixed = TlsFiles(ca=known.ca, certificate=foreign.certificate, key=foreign.key)
    assert await failure(bare_channel(house.target, mixed)) is grpc.StatusCode.UNAVAILABLE


async def test_a_client_asks_who_the_server_is(house: House, tmp_path: Path) -> None:
    """Both a stranger's server and one whose certificate is for calling only."""
    own, stranger = house.office, Office(tmp_path / "elsewhere")
    for certificates in (stranger.certificates("svc/sync", *HERE), own.certificates("svc/sync")):
        access = Access(certificates=certificates, policy=Policy(TABLE), trail=Remembered())
        async with (
            server_of(Behaviour(), CollectorRegistry(), access) as server,
            own.channel(f"127.0.0.1:{server.port}", READER) as channel,
        ):
            with pytest.raises(UpstreamUnavailable):
                await stubs.StoreServiceStub(channel).GetStore(ASKED)


def reflection(channel: Any) -> Any:
    return reflection_pb2_grpc.ServerReflectionStub(channel)


async def test_operators_see_what_a_server_offers(house: House) -> None:
    async with house.channel("operator/alice") as channel:
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        call = reflection(channel).ServerReflectionInfo(iter([question]), timeout=5)
        offered = [service.name async for answer in call for service in answer.list_services_response.service]
    assert STORE_SERVICE in offered


async def test_services_do_not_see_what_a_server_offers(house: House) -> None:
    async with house.channel(READER) as channel:
        # Nothing is asked: a question may meet a call that has been refused already, which its sender calls INTERNAL.
        assert await reflection(channel).ServerReflectionInfo(timeout=5).code() is grpc.StatusCode.PERMISSION_DENIED


async def test_health_is_for_everybody_with_a_certificate(house: House) -> None:
    async with house.channel("svc/probe") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING


async def test_what_is_done_is_done_by_the_caller(house: House, log_lines: list[Any]) -> None:
    async def who() -> pb.GetStoreResponse:
        await asyncio.sleep(0)
        return pb.GetStoreResponse(store=pb.Store(store_name=current_actor()))

    house.behaviour.unary = who
    assert (await house.ask(READER)).store.store_name == READER
    assert [line["actor"] for line in log_lines if line["event"] == "rpc"] == [READER]


async def asked_on_behalf(house: House, who: str, behalf: str) -> str:
    """Return by whom the server thinks it was done."""

    async def told() -> pb.GetStoreResponse:
        return pb.GetStoreResponse(store=pb.Store(store_name=current_actor()))

    house.behaviour.unary = told
    bind_actor(behalf)
    return (await house.ask(who)).store.store_name


async def test_a_service_says_for_whom_it_calls(house: House) -> None:
    assert await asked_on_behalf(house, READER, "key/ops") == f"{READER} for key/ops"


@pytest.mark.parametrize("behalf", ["x" * 201, 'key/"', "key/{}"])
async def test_what_can_be_nobodys_name_is_not_taken_for_one(house: House, behalf: str) -> None:
    assert await asked_on_behalf(house, READER, behalf) == READER


async def test_an_operator_calls_for_nobody_else(house: House, log_lines: list[Any]) -> None:
    bind_actor("operator/bob")
    await house.watch("operator/alice")
    assert [line["actor"] for line in log_lines if line["event"] == "rpc"] == ["operator/alice"]


async def test_a_denied_caller_is_in_the_log(house: House, log_lines: list[Any]) -> None:
    with pytest.raises(TokhubError):
        await house.ask("svc/stranger")
    (line,) = [line for line in log_lines if line["event"] == "rpc"]
    assert (line["actor"], line["status"], line["reason"]) == ("svc/stranger", "PERMISSION_DENIED", "NOT_ALLOWED")


def test_a_server_without_certificates_stays_on_its_machine() -> None:
    with pytest.raises(ServerMisconfig, match="certificates"):
        RpcServer(listen="0.0.0.0:0", services=[], registry=CollectorRegistry(), readiness=Readiness())
