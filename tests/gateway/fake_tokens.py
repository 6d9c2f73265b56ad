"""TokenService behind the gateway, from memory: it refreshes, and gives no token to anybody."""

from collections.abc import AsyncIterator
from typing import Any

from tokhub.token.v1 import token_pb2, token_pb2_grpc

from tests.gateway.fake_connections import FakeConnections
from tests.gateway.scripted import Scripted


class FakeTokens(token_pb2_grpc.TokenServiceServicer):
    def __init__(self, connections: FakeConnections) -> None:
        self.script = Scripted()
        self.connections = connections
        self.refreshes: list[token_pb2.RefreshTokenRequest] = []
        self.all_asked: list[token_pb2.RefreshAllRequest] = []
        self.ended: list[token_pb2.RefreshedConnection] = []

    async def RefreshToken(
        self, request: token_pb2.RefreshTokenRequest, _context: Any
    ) -> token_pb2.RefreshTokenResponse:
        self.script.begin()
        self.refreshes.append(request)
        return token_pb2.RefreshTokenResponse(connection=self.connections.find(request.connection), refreshed=True)

    async def GetValidToken(
        self, _request: token_pb2.GetValidTokenRequest, _context: Any
    ) -> token_pb2.GetValidTokenResponse:
        raise AssertionError("the gateway never reads a token")

    async def BatchGetValidTokens(
        self, _request: token_pb2.BatchGetValidTokensRequest, _context: Any
    ) -> token_pb2.BatchGetValidTokensResponse:
        raise AssertionError("the gateway never reads tokens")

    async def RefreshAll(
        self, request: token_pb2.RefreshAllRequest, _context: Any
    ) -> AsyncIterator[token_pb2.RefreshAllResponse]:
        self.script.begin()
        self.all_asked.append(request)
        for one in self.ended:
            yield token_pb2.RefreshAllResponse(ended=one)
        yield token_pb2.RefreshAllResponse(summary=token_pb2.RefreshSummary(total=len(self.ended)))

    async def WatchTokens(
        self, _request: token_pb2.WatchTokensRequest, _context: Any
    ) -> AsyncIterator[token_pb2.WatchTokensResponse]:
        raise AssertionError("the gateway never watches tokens")
        yield token_pb2.WatchTokensResponse()
