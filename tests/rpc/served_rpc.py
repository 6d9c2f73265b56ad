"""Two methods of the suite, one unary and one streaming, that do what a test tells them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from prometheus_client import CollectorRegistry
from tokhub.sync.v1 import sync_pb2 as pb
from tokhub.sync.v1 import sync_pb2_grpc as stubs

from libs.rpc.access import Access
from libs.rpc.client import open_channel
from libs.rpc.request_id import current_request_id
from libs.rpc.server import Check, Readiness, RpcServer, RpcService

STORE_SERVICE = "tokhub.sync.v1.StoreService"
SYNC_SERVICE = "tokhub.sync.v1.SyncService"
GET_STORE = f"/{STORE_SERVICE}/GetStore"
WATCH_SYNC = f"/{SYNC_SERVICE}/WatchSync"
ASKED = pb.GetStoreRequest(store_code="shop-1")
WATCHED = pb.WatchSyncRequest(run_id="6f1c2f0e-6d0b-4f83-9a53-0a4a1b2c3d4e")


async def answer_with_request_id() -> pb.GetStoreResponse:
    """Answer with the id that log lines of this call carry."""
    return pb.GetStoreResponse(store=pb.Store(store_name=current_request_id()))


async def three_answers() -> AsyncIterator[pb.WatchSyncResponse]:
    """Answer three times."""
    for number in (1, 2, 3):
        yield pb.WatchSyncResponse(progress=pb.Progress(sequence=number))


@dataclass
class Behaviour:
    """What the methods do."""

    unary: Callable[[], Awaitable[pb.GetStoreResponse]] = answer_with_request_id
    stream: Callable[[], AsyncIterator[pb.WatchSyncResponse]] = three_answers

    def register_stores(self, server: grpc.aio.Server) -> None:
        """Add GetStore, and CreateStore which does the same."""
        response = {"response_serializer": pb.GetStoreResponse.SerializeToString}
        get, create = pb.GetStoreRequest.FromString, pb.CreateStoreRequest.FromString
        handlers: dict[str, Any] = {
            "GetStore": grpc.unary_unary_rpc_method_handler(self._answer, request_deserializer=get, **response),
            "CreateStore": grpc.unary_unary_rpc_method_handler(self._answer, request_deserializer=create, **response),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(STORE_SERVICE, handlers),))

    def register_runs(self, server: grpc.aio.Server) -> None:
        """Add WatchSync."""
        handler = grpc.unary_stream_rpc_method_handler(
            self._answers,
            request_deserializer=pb.WatchSyncRequest.FromString,
            response_serializer=pb.WatchSyncResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SYNC_SERVICE, {"WatchSync": handler}),))

    async def _answer(self, _request: Any, _context: Any) -> pb.GetStoreResponse:
        return await self.unary()

    async def _answers(self, _request: Any, _context: Any) -> AsyncIterator[pb.WatchSyncResponse]:
        async for answer in self.stream():
            yield answer

    def fail(self, error: Exception) -> None:
        """Raise this error from the unary method."""

        async def raising() -> pb.GetStoreResponse:
            raise error

        self.unary = raising

    def hang(self) -> asyncio.Event:
        """Keep the unary method from ending; the event is set once a call has begun."""
        begun = asyncio.Event()

        async def waiting() -> pb.GetStoreResponse:
            begun.set()
            return await asyncio.Future()

        self.unary = waiting
        return begun


@dataclass
class Served:
    """A running server and a client of it."""

    behaviour: Behaviour
    registry: CollectorRegistry
    server: RpcServer
    stores: Any
    runs: Any
    log_lines: list[Any] = field(default_factory=list)

    @property
    def target(self) -> str:
        """Return where it listens."""
        return f"127.0.0.1:{self.server.port}"

    def calls(self, method: str, code: str, reason: str = "") -> float | None:
        """Return how many calls of a method ended like this."""
        labels = {"method": method, "code": code, "reason": reason}
        return self.registry.get_sample_value("tokhub_rpc_calls_total", labels)


def server_of(behaviour: Behaviour, registry: CollectorRegistry, access: Access | None, **checks: Check) -> RpcServer:
    """A server of both methods on a free port."""
    return RpcServer(
        listen="127.0.0.1:0",
        services=[
            RpcService(name=STORE_SERVICE, register=behaviour.register_stores),
            RpcService(name=SYNC_SERVICE, register=behaviour.register_runs),
        ],
        registry=registry,
        readiness=Readiness(checks=checks),
        access=access,
    )


@asynccontextmanager
async def serve(**checks: Check) -> AsyncIterator[Served]:
    """Serve on a free port while the context is open."""
    behaviour = Behaviour()
    registry = CollectorRegistry()
    server = server_of(behaviour, registry, None, **checks)
    async with server, open_channel(f"127.0.0.1:{server.port}") as channel:
        clients = (stubs.StoreServiceStub(channel), stubs.SyncServiceStub(channel))
        yield Served(behaviour, registry, server, *clients)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again for something that must become true, and fail when it does not."""
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not become true")
