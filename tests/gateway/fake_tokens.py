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
        self, _request: token_pb2.RefreshAllRequest, _context: Any
    ) -> AsyncIterator[token_pb2.RefreshAllResponse]:
        raise AssertionError("no route refreshes all tokens")
        yield token_pb2.RefreshAllResponse()

    async def WatchTokens(
        self, _request: token_pb2.WatchTokensRequest, _context: Any
    ) -> AsyncIterator[token_pb2.WatchTokensResponse]:
        raise AssertionError("the gateway never watches tokens")
        yield token_pb2.WatchTokensResponse()
