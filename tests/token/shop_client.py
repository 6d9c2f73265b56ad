"""A token service with a Shop app, its parts in this process and TikTok in the sandbox, and a caller of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.database.pool import Pool
from libs.rpc.client import open_channel
from services.token.composition import Core
from tests.fixtures_sandbox import SandboxProcess
from tests.token.rpc_client import served

SHOP = token_pb2.PROVIDER_TIKTOK_SHOP
USER, STORE = token_pb2.OWNER_KIND_USER, token_pb2.OWNER_KIND_STORE


class Shops:
    """A token service's core behind its server, and the sellers who consent."""

    def __init__(self, core: Core, pool: Pool, target: str, sandbox: SandboxProcess) -> None:
        self.core = core
        self.pool = pool
        self.sandbox = sandbox
        self.target = target
        self.channel = open_channel(target)
        self.tokens = token_pb2_grpc.TokenServiceStub(self.channel)
        self.connections = token_pb2_grpc.ConnectionServiceStub(self.channel)

    async def connect(
        self,
        owner: str,
        seller: str,
        *,
        kind: token_pb2.OwnerKind.ValueType = USER,
        shop_id: str = "",
    ) -> token_pb2.Connection:
        link = await self.connections.StartAuthorization(
            token_pb2.StartAuthorizationRequest(
                provider=SHOP,
                owner=token_pb2.Owner(kind=kind, id=owner),
                binding=token_pb2.LINK_BINDING_NONE,
            )
        )
        came_back = await asyncio.to_thread(self.sandbox.agree, link.authorize_url, seller)
        request = token_pb2.CompleteAuthorizationRequest(
            state=came_back["state"], code=came_back["code"], shop_id=shop_id
        )
        return (await self.connections.CompleteAuthorization(request)).connection

    async def refresh(self, connection: token_pb2.Connection, request_id: str = "r1") -> token_pb2.Connection:
        request = token_pb2.RefreshTokenRequest(connection=by_id(connection), request_id=request_id)
        return (await self.tokens.RefreshToken(request)).connection

    async def look(self, connection: token_pb2.Connection) -> token_pb2.Connection:
        request = token_pb2.GetConnectionRequest(connection=by_id(connection))
        return (await self.connections.GetConnection(request)).connection


def by_id(connection: token_pb2.Connection) -> token_pb2.ConnectionReference:
    return token_pb2.ConnectionReference(connection_id=connection.id)


@asynccontextmanager
async def serving_shops(token_dsn: str, sandbox: SandboxProcess, **changes: str) -> AsyncIterator[Shops]:
    async with served(token_dsn, sandbox, **changes) as service:
        one = Shops(service.core, service.pool, service.target, sandbox)
        yield one
        await one.channel.close()
