"""A token service that serves, its parts in this process and TikTok in the sandbox, and a caller of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.database.pool import Pool, open_pool
from libs.rpc.client import open_channel
from libs.rpc.server import Readiness, RpcServer
from libs.settings import parse
from libs.tiktok.transport import Transport
from libs.vault.ring import parse_keys
from services.token.__main__ import SCHEMA
from services.token.adapters.canaries import check_keys
from services.token.adapters.journal.journal import NoJournal
from services.token.composition import Core, Grounds, build_core, proto_services
from services.token.settings import TokenSettings
from tests.fixtures_sandbox import SandboxProcess
from tests.token.token_process import environment

STORE = token_pb2.OWNER_KIND_STORE


class Client:
    """A caller of a token service, and the people who consent."""

    def __init__(self, core: Core, target: str, sandbox: SandboxProcess, registry: CollectorRegistry) -> None:
        self.core = core
        self.registry = registry
        self.channel = open_channel(target)
        self.tokens = token_pb2_grpc.TokenServiceStub(self.channel)
        self.connections = token_pb2_grpc.ConnectionServiceStub(self.channel)
        self.sandbox = sandbox

    async def start(
        self, code: str, binding: token_pb2.LinkBinding.ValueType = token_pb2.LINK_BINDING_NONE
    ) -> token_pb2.StartAuthorizationResponse:
        return await self.connections.StartAuthorization(
            token_pb2.StartAuthorizationRequest(
                provider=token_pb2.PROVIDER_LOGIN_KIT, owner=token_pb2.Owner(kind=STORE, id=code), binding=binding
            )
        )

    async def consent(self, url: str, account: str, **choices: tuple[str, ...]) -> dict[str, str]:
        return await asyncio.to_thread(self.sandbox.consent, url, account, **choices)

    async def connect(self, code: str, account: str | None = None) -> token_pb2.Connection:
        link = await self.start(code)
        came_back = await self.consent(link.authorize_url, account or self.sandbox.next_account())
        response = await self.connections.CompleteAuthorization(
            token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
        )
        return response.connection


def reference(code: str) -> token_pb2.ConnectionReference:
    return token_pb2.ConnectionReference(
        owner_connection=token_pb2.OwnerConnection(
            provider=token_pb2.PROVIDER_LOGIN_KIT, owner=token_pb2.Owner(kind=STORE, id=code)
        )
    )


@dataclass(frozen=True, kw_only=True)
class Served:
    """A token service's parts, and where it serves."""

    core: Core
    pool: Pool
    registry: CollectorRegistry
    target: str


@asynccontextmanager
async def served(token_dsn: str, sandbox: SandboxProcess, **changes: str) -> AsyncIterator[Served]:
    settings = parse(TokenSettings, environment(token_dsn, sandbox) | changes)
    async with (
        open_pool(token_dsn, application="test", schema=SCHEMA) as pool,
        Transport(keep_alive=False) as transport,
    ):
        ring = parse_keys(settings.token_enc_key, None)
        await check_keys(pool, ring)
        grounds = Grounds(pool=pool, reserve=pool, transport=transport, ring=ring, journal=NoJournal(), replica="test")
        core = build_core(settings, grounds)
        async with RpcServer(
            listen="127.0.0.1:0",
            services=proto_services(core),
            registry=grounds.registry,
            readiness=Readiness(),
        ) as server:
            yield Served(core=core, pool=pool, registry=grounds.registry, target=f"127.0.0.1:{server.port}")


@asynccontextmanager
async def serving(token_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Client]:
    async with served(token_dsn, sandbox) as service:
        one = Client(service.core, service.target, sandbox, service.registry)
        yield one
        await one.channel.close()
