import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tokhub.sync.v1 import sync_pb2 as pb
from tokhub.sync.v1 import sync_pb2_grpc as stubs

from libs.rpc import server as rpc_server
from libs.rpc.client import open_channel
from tests.rpc.served_rpc import ASKED, GET_STORE, STORE_SERVICE, SYNC_SERVICE, Served, serve, until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
BUF = Path(sys.executable).with_name("buf")
NAMES = ("", STORE_SERVICE, SYNC_SERVICE)


class Dependency:
    """Something a service needs, which a test can break."""

    def __init__(self) -> None:
        self.state = "usable"

    async def __call__(self) -> bool:
        if self.state == "hanging":
            await asyncio.Future()
        if self.state == "failing":
            raise ConnectionError
        return self.state == "usable"


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_server, "CHECK_EVERY", 0.02)
    monkeypatch.setattr(rpc_server, "CHECK_TIMEOUT", 0.1)


async def health(served: Served, *names: str) -> list[Any]:
    async with grpc.aio.insecure_channel(served.target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return [(await stub.Check(health_pb2.HealthCheckRequest(service=name))).status for name in names]


async def test_calls_between_services_go_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{elsewhere.sockets[0].getsockname()[1]}")
    async with elsewhere, serve() as served:
        assert await served.stores.GetStore(ASKED)


async def test_health_answers_for_everything_it_lists() -> None:
    async with serve(postgres=Dependency()) as served:
        assert await health(served, *NAMES, "postgres") == [SERVING] * 4


@pytest.mark.parametrize("state", ["no", "failing", "hanging"])
async def test_a_lost_dependency_shows_in_health(state: str) -> None:
    lost, other = Dependency(), Dependency()
    async with serve(postgres=lost, redis=other) as served:
        lost.state = state

        async def not_serving() -> bool:
            return await health(served, *NAMES, "postgres", "redis") == [NOT_SERVING] * 4 + [SERVING]

        await until(not_serving)
        lost.state = "usable"

        async def serving() -> bool:
            return await health(served, *NAMES, "postgres") == [SERVING] * 4

        await until(serving)


async def test_a_service_starts_not_serving_without_its_dependency() -> None:
    lost = Dependency()
    lost.state = "failing"
    async with serve(postgres=lost) as served:
        assert await health(served, "", "postgres") == [NOT_SERVING, NOT_SERVING]


async def test_health_of_a_stranger_is_not_found(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health(served, "nobody.v1.Service")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_stop_is_seen_in_health_first() -> None:
    seen = []
    async with serve() as served:
        channel = grpc.aio.insecure_channel(served.target)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watching = stub.Watch(health_pb2.HealthCheckRequest())
        seen.append((await watching.read()).status)
        begun = served.behaviour.hang()
        call = asyncio.ensure_future(served.stores.GetStore(ASKED))
        await begun.wait()
        stopping = asyncio.create_task(served.server.__aexit__(None, None, None))
        seen.append((await watching.read()).status)
        call.cancel()
        watching.cancel()
        await stopping
        await channel.close()
    assert seen == [SERVING, NOT_SERVING]


async def test_a_stop_lets_calls_in_flight_end() -> None:
    released = asyncio.Event()
    begun = asyncio.Event()

    async def answer_late() -> pb.GetStoreResponse:
        begun.set()
        await released.wait()
        return pb.GetStoreResponse(store=pb.Store(store_name="late"))

    async with serve() as served:
        served.behaviour.unary = answer_late
        call = asyncio.ensure_future(served.stores.GetStore(ASKED))
        await begun.wait()
        stopping = asyncio.create_task(served.server.__aexit__(None, None, None))
        await asyncio.sleep(0.05)
        assert not stopping.done()
        released.set()
        assert (await call).store.store_name == "late"
        await stopping


async def test_a_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_server, "GRACE", 0.1)
    async with serve() as served:
        begun = served.behaviour.hang()
        call = asyncio.ensure_future(served.stores.GetStore(ASKED))
        await begun.wait()
        await asyncio.wait_for(served.server.__aexit__(None, None, None), 5)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def test_reflection_lists_what_is_served(served: Served) -> None:
    process = await asyncio.create_subprocess_exec(
        *(str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-methods"),
        f"http://{served.target}",
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    listed = output.decode().split()
    assert {f"{STORE_SERVICE}/GetStore", f"{SYNC_SERVICE}/WatchSync", "grpc.health.v1.Health/Check"} <= set(listed)


def described(target: str, symbol: str) -> str:
    """Return the file that reflection names for a symbol, as a client does that meets one in an Any."""
    with grpc.insecure_channel(target) as channel:
        return str(ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol(symbol).name)


@pytest.mark.parametrize("detail", ["ErrorInfo", "RetryInfo", "BadRequest"])
async def test_reflection_describes_the_details_of_errors(served: Served, detail: str) -> None:
    found = await asyncio.to_thread(described, served.target, f"google.rpc.{detail}")
    assert found == "google/rpc/error_details.proto"


async def test_the_replicas_behind_one_name_share_its_calls() -> None:
    async with serve() as one, serve() as other, open_channel(f"ipv4:{one.target},{other.target}") as channel:
        stub = stubs.StoreServiceStub(channel)

        async def both_have_answered() -> bool:
            await stub.GetStore(ASKED)
            return bool(one.calls(GET_STORE, "OK") and other.calls(GET_STORE, "OK"))

        await until(both_have_answered)
