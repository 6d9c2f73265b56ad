"""The sync service among its real neighbours: PostgreSQL, a token service and the sandbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import grpc
from prometheus_client import CollectorRegistry
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.database.migrations import migrate
from libs.database.pool import Pool, PoolLimits, open_pool
from libs.rpc.client import open_channel
from libs.rpc.server import Readiness, RpcServer
from libs.settings import parse
from libs.tiktok.transport import Transport
from libs.vault.ring import KeyRing
from services.sync import __main__ as sync_service
from services.sync.settings import SyncSettings
from services.token import __main__ as token_service
from services.token import composition
from services.token.adapters.journal.journal import NoJournal
from services.token.settings import TokenSettings
from tests.fixtures_sandbox import SandboxProcess
from tests.sync.sync_client import SyncClient
from tests.sync.sync_process import environment

JOB_ALL, JOB_USER, JOB_VIDEO = sync_pb2.JOB_ALL, sync_pb2.JOB_USER, sync_pb2.JOB_VIDEO
JOB_REFRESH = sync_pb2.JOB_REFRESH_TOKENS


async def migrate_both(dsn: str, sync_dsn: str | None = None) -> None:
    """Create the tables of both services; the sync service may have a role of its own."""
    await migrate(dsn, token_service.MIGRATIONS, token_service.SCHEMA)
    await migrate(sync_dsn or dsn, sync_service.MIGRATIONS, sync_service.SCHEMA)


@asynccontextmanager
async def token_service_on(dsn: str, sandbox: SandboxProcess) -> AsyncIterator[str]:
    """Yield the address of a real token service over the database."""
    environment = {
        "DATABASE_URL": dsn,
        "TIKTOK_CLIENT_KEY": sandbox.client_key,
        "TIKTOK_CLIENT_SECRET": sandbox.client_secret,
        "TIKTOK_REDIRECT_URI": sandbox.redirect_uri,
        "TIKTOK_LOGIN_AUTHORIZE_URL": sandbox.authorize_url,
        "TIKTOK_API_BASE_URL": sandbox.url,
        "STATE_SECRET": "CNRYstate-secret-of-these-tests-0123456789",
    }
    settings = parse(TokenSettings, environment)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(dsn, application="token", schema=token_service.SCHEMA))
        transport = await stack.enter_async_context(Transport(keep_alive=False))
        ring = KeyRing({"k1": bytes(32)}, active="k1")
        grounds = composition.Grounds(
            pool=pool, reserve=pool, transport=transport, ring=ring, journal=NoJournal(), replica="test"
        )
        core = composition.build_core(settings, grounds)
        server = RpcServer(
            listen="127.0.0.1:0",
            services=composition.proto_services(core),
            registry=CollectorRegistry(),
            readiness=Readiness(),
        )
        await stack.enter_async_context(server)
        yield f"127.0.0.1:{server.port}"


class Replica(SyncClient):
    """A running sync service and a client of it."""

    def __init__(self, channel: grpc.aio.Channel, stop: asyncio.Event, target: str = "") -> None:
        super().__init__(channel)
        self.stop = stop
        self.target = target


@dataclass
class LivingSuite:
    """One database with a token service; sync services are started as a test needs them."""

    dsn: str
    pool: Pool
    reporting: Pool
    sandbox: SandboxProcess
    token_target: str
    connections: token_pb2_grpc.ConnectionServiceStub
    accounts: dict[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        return environment(self.dsn, self.token_target, self.sandbox) | more

    @asynccontextmanager
    async def replica(self, **environment: str) -> AsyncIterator[Replica]:
        """Yield a running sync service."""
        stop = asyncio.Event()
        settings = parse(SyncSettings, self.environment(**environment))
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(sync_service.serving(settings, stop))
            stack.callback(stop.set)
            target = f"127.0.0.1:{server.port}"
            yield Replica(await stack.enter_async_context(open_channel(target)), stop, target)

    async def row(self, query: str, *values: object) -> asyncpg.Record:
        """Return the first row of a query that has one."""
        found = await self.pool.fetchrow(query, *values)
        assert found is not None
        return found

    async def until(self, query: str) -> None:
        """Wait until a query says true."""
        while not await self.pool.fetchval(query):  # noqa: ASYNC110 - what it reads is written by other processes
            await asyncio.sleep(0.05)

    async def add_store(self, code: str) -> None:
        await self.pool.execute(
            "INSERT INTO reporting.stores (store_code, store_name, pic_name) VALUES ($1, $1, 'somebody')", code
        )

    async def connect(self, code: str, *, account: str | None = None, without: tuple[str, ...] = ()) -> str:
        """Add a store and connect an account to it on the sandbox's consent page; return the account."""
        await self.add_store(code)
        account = account or self.sandbox.next_account()
        await self._consent(token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=code), account, without)
        self.accounts[code] = self.sandbox.open_id(account)
        return account

    async def _consent(self, owner: token_pb2.Owner, account: str, without: tuple[str, ...] = ()) -> None:
        link = await self.connections.StartAuthorization(
            token_pb2.StartAuthorizationRequest(
                provider=token_pb2.PROVIDER_LOGIN_KIT, owner=owner, binding=token_pb2.LINK_BINDING_NONE
            )
        )
        came_back = await asyncio.to_thread(self.sandbox.consent, link.authorize_url, account, without=without)
        await self.connections.CompleteAuthorization(
            token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
        )

    async def connect_user(self, user: str) -> str:
        """Connect an account to a user who is no store; return TikTok's id of it."""
        account = self.sandbox.next_account()
        await self._consent(token_pb2.Owner(kind=token_pb2.OWNER_KIND_USER, id=user), account)
        self.accounts[user] = self.sandbox.open_id(account)
        return self.accounts[user]

    async def connect_many(self, count: int, prefix: str = "store") -> list[str]:
        codes = [f"{prefix}_{number:03}" for number in range(count)]
        for code in codes:
            await self.connect(code)
        return codes

    async def connect_copies(self, code: str, count: int, *, status: str = "ACTIVE") -> None:
        """Add stores with rows like those of a store; TikTok does not know their accounts."""
        await self.pool.execute(
            "INSERT INTO reporting.stores (store_code, store_name, pic_name)"
            " SELECT 'bulk_' || n, 'bulk', 'somebody' FROM generate_series(1, $1::int) n",
            count,
        )
        await self.pool.execute(
            "INSERT INTO credentials.connections (id, provider, owner_kind, owner_id, account_id, status, epoch,"
            " generation, access_token, refresh_token, access_given, received_at, access_expires_at)"
            " SELECT gen_random_uuid(), provider, owner_kind, 'bulk_' || n, 'bulk ' || n, $3, epoch,"
            " generation, access_token, refresh_token, access_given, received_at, access_expires_at"
            " FROM credentials.connections, generate_series(1, $1::int) n WHERE owner_id = $2",
            count,
            code,
            status,
        )

    async def connect_busy(self, code: str, *, pages: int) -> None:
        """Connect an account that has at least so many pages of videos."""
        while True:
            account = self.sandbox.next_account()
            shown = self.sandbox.control.get(f"/sandbox/truth/{self.sandbox.open_id(account)}").json()
            if len(shown["videos"]) > 20 * (pages - 1):
                await self.connect(code, account=account)
                return

    def pages(self, code: str) -> int:
        """Return how many calls it takes to see all videos."""
        return max(1, -(-len(self.truth(code)["videos"]) // 20))

    def calls(self, code: str) -> dict[str, int]:
        """Return how often TikTok was called for a store, by endpoint."""
        ledger: dict[str, Any] = self.sandbox.ledger(self.accounts[code])
        return dict(ledger["calls"])

    async def stored_videos(self, code: str) -> list[tuple[str, int, str]]:
        """Return id, views and description of every stored video, sorted."""
        rows = await self.pool.fetch(
            "SELECT video_id, view_count, description FROM reporting.tiktok_video_daily WHERE store_code = $1", code
        )
        return sorted(tuple(row) for row in rows)

    def true_videos(self, code: str) -> list[tuple[str, int, str]]:
        """Return what stored_videos should be."""
        return sorted((v["id"], v["view_count"], v["video_description"]) for v in self.truth(code)["videos"])

    def truth(self, code: str) -> dict[str, Any]:
        """Return what the sandbox says an account shows today."""
        found: dict[str, Any] = self.sandbox.control.get(f"/sandbox/truth/{self.accounts[code]}").json()
        return found

    def fault(self, kind: str, code: str, **more: object) -> None:
        self.sandbox.fault(kind, self.accounts[code], **more)


@asynccontextmanager
async def living_suite(dsn: str, sandbox: SandboxProcess) -> AsyncIterator[LivingSuite]:
    """Yield a suite over a migrated database."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(dsn, application="test"))
        reporting = await stack.enter_async_context(
            open_pool(dsn, application="test", schema=sync_service.SCHEMA, limits=PoolLimits(max_size=20))
        )
        target = await stack.enter_async_context(token_service_on(dsn, sandbox))
        channel = await stack.enter_async_context(open_channel(target))
        yield LivingSuite(dsn, pool, reporting, sandbox, target, token_pb2_grpc.ConnectionServiceStub(channel))
