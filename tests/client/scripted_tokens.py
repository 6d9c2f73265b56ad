"""A token service from memory over real gRPC: it answers as told, and counts."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.clock import SystemClock
from libs.errors import TokhubError, UpstreamUnavailable
from libs.rpc.access import Access
from libs.rpc.server import Readiness, RpcServer, RpcService

SERVICE = "tokhub.token.v1.TokenService"
CONNECTION = "00000000-0000-4000-8000-000000000001"


class ScriptedTokens(token_pb2_grpc.TokenServiceServicer):
    def __init__(self) -> None:
        self.asked: list[token_pb2.GetValidTokenRequest] = []
        self.failures: deque[TokhubError] = deque()
        self.generation = 1
        self.life = 3600.0
        self.freshness = token_pb2.FRESHNESS_FRESH
        self.delay = 0.0
        self.watchers = 0
        self.flapping = False
        self.usable = True
        self._news: asyncio.Queue[token_pb2.WatchTokensResponse | TokhubError] = asyncio.Queue()

    async def GetValidToken(
        self, request: token_pb2.GetValidTokenRequest, _context: Any
    ) -> token_pb2.GetValidTokenResponse:
        self.asked.append(request)
        await asyncio.sleep(self.delay)
        if self.failures:
            raise self.failures.popleft()
        if request.HasField("rejected_generation"):
            self.generation = max(self.generation, request.rejected_generation + 1)
        answer = token_pb2.GetValidTokenResponse(
            access_token=f"CNRYtoken{self.generation}",
            generation=self.generation,
            freshness=self.freshness,
            connection_id=CONNECTION,
        )
        answer.expire_time.FromMilliseconds(round((SystemClock().now().timestamp() + self.life) * 1000))
        return answer

    async def WatchTokens(
        self, _request: token_pb2.WatchTokensRequest, _context: Any
    ) -> AsyncIterator[token_pb2.WatchTokensResponse]:
        yield token_pb2.WatchTokensResponse(begin=token_pb2.WatchBegin(event_id=1))
        self.watchers += 1
        while not self.flapping:
            news = await self._news.get()
            if isinstance(news, TokhubError):
                raise news
            yield news

    async def BatchGetValidTokens(
        self, _request: token_pb2.BatchGetValidTokensRequest, _context: Any
    ) -> token_pb2.BatchGetValidTokensResponse:
        raise AssertionError("the client asks one by one")

    async def RefreshToken(
        self, _request: token_pb2.RefreshTokenRequest, _context: Any
    ) -> token_pb2.RefreshTokenResponse:
        raise AssertionError("the client may refresh nothing")

    async def RefreshAll(
        self, _request: token_pb2.RefreshAllRequest, _context: Any
    ) -> AsyncIterator[token_pb2.RefreshAllResponse]:
        raise AssertionError("the client may refresh nothing")
        yield token_pb2.RefreshAllResponse()

    def tell(self, kind: token_pb2.TokenEventKind.ValueType, connection_id: str = CONNECTION) -> None:
        """Send an event to the watcher."""
        event = token_pb2.TokenEvent(event_id=2, kind=kind, connection_id=connection_id)
        self._news.put_nowait(token_pb2.WatchTokensResponse(event=event))

    async def is_usable(self) -> bool:
        return self.usable

    def end_streams(self) -> None:
        self._news.put_nowait(UpstreamUnavailable("This service is stopping."))


@asynccontextmanager
async def serving(service: ScriptedTokens, port: int = 0, access: Access | None = None) -> AsyncIterator[RpcServer]:
    def register(server: Any) -> None:
        token_pb2_grpc.add_TokenServiceServicer_to_server(service, server)

    server = RpcServer(
        listen=f"127.0.0.1:{port}",
        services=[RpcService(name=SERVICE, register=register, end_streams=service.end_streams)],
        registry=CollectorRegistry(),
        readiness=Readiness(checks={"database": service.is_usable}),
        access=access,
    )
    async with server:
        yield server
