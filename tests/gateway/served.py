"""Starts the fake services on gRPC sockets and the gateway on an HTTP one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import grpc
import httpx
import jwt
from prometheus_client import CollectorRegistry
from tokhub.audit.v1 import audit_pb2, audit_pb2_grpc
from tokhub.sync.v1 import report_pb2, report_pb2_grpc, sync_pb2, sync_pb2_grpc
from tokhub.token.v1 import token_pb2, token_pb2_grpc, vault_pb2, vault_pb2_grpc

from libs.clock import SystemClock
from libs.rpc.server import Readiness, RpcServer, RpcService
from libs.secret import Secret
from services.gateway.addresses import parse_networks
from services.gateway.app import Gates, Parts, create_app
from services.gateway.auth import parse_keys
from services.gateway.backends import Targets, open_backends
from services.gateway.failures import FailureReport
from services.gateway.gates import AdminGate, CreatorGate, Door, OAuthGate, UserGate
from services.gateway.limits import FailureLockouts, LockoutRule, MinuteBudget
from services.gateway.routes.info import Life
from services.gateway.server import Listen, bind, server_of
from services.gateway.sessions import NoSessions, Sessions
from services.gateway.user_tokens import SharedSecret, Users, UserTokens
from tests.gateway.fake_audit import FakeAudit
from tests.gateway.fake_connections import FakeConnections
from tests.gateway.fake_runs import FakeSync
from tests.gateway.fake_stores import FakeReports, FakeStats, FakeStores
from tests.gateway.fake_tokens import FakeTokens
from tests.gateway.fake_vault import FakeVault
from tests.gateway.scripted import Scripted

VAULT = vault_pb2.DESCRIPTOR.services_by_name["VaultService"]
AUDIT = audit_pb2.DESCRIPTOR.services_by_name["AuditService"]
ADMIN_KEY = "CNRYadmin-key-0123456789-0123456789-0123"
READ_KEY = "CNRYread-key-0123456789-0123456789-01234"
KEYS = f"ops:admin:{ADMIN_KEY},viewer:read:{READ_KEY}"
ADMIN = {"X-API-KEY": ADMIN_KEY}
READ = {"X-API-KEY": READ_KEY}
USER_SECRET = "CNRYuser-secret-0123456789-0123456789"
TOKENS = UserTokens(keys=SharedSecret(Secret(USER_SECRET)))


def bearer(user: str = "u-1", secret: str = USER_SECRET, **claims: Any) -> dict[str, str]:
    """The header of a user whose token ends in an hour; a claim of None is left out."""
    said = {"sub": user, "exp": int(time.time()) + 3600, **claims}
    token = jwt.encode({name: value for name, value in said.items() if value is not None}, secret)
    return {"Authorization": f"Bearer {token}"}


class ShiftedClock(SystemClock):
    """The machine's clock, put forward by the test."""

    def __init__(self) -> None:
        self.shift = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.shift


@dataclass
class Suite:
    """The services behind the gateway and whether their dependencies can be used."""

    stores: FakeStores = field(default_factory=lambda: FakeStores(Scripted()))
    connections: FakeConnections = field(default_factory=FakeConnections)
    usable: dict[str, bool] = field(default_factory=lambda: {"database": True, "encryption": True})

    def __post_init__(self) -> None:
        self.stats = FakeStats(self.stores)
        self.reports = FakeReports()
        self.token_audit, self.sync_audit = FakeAudit(), FakeAudit()
        self.tokens = FakeTokens(self.connections)
        self.vault = FakeVault()
        self.sync = FakeSync(self.stores, self.connections)


@dataclass
class Limits:
    admin: int = 10_000
    oauth: int = 10_000
    max_failures: int = 5
    block_seconds: float = 900
    trusted_proxies: str = ""
    tokens: Users = TOKENS
    keys: str = KEYS
    sessions: Sessions = field(default_factory=NoSessions)


@dataclass
class Gateway:
    url: str
    port: int
    suite: Suite
    clock: ShiftedClock
    stopping: asyncio.Event
    client: httpx.AsyncClient


def rpc_service(grpc_module: ModuleType, descriptor: Any, servicer: Any) -> RpcService:
    register = getattr(grpc_module, f"add_{descriptor.name}Servicer_to_server")

    def add(server: grpc.aio.Server) -> None:
        register(servicer, server)

    return RpcService(name=descriptor.full_name, register=add)


def sync_server(suite: Suite, listen: str = "127.0.0.1:0") -> RpcServer:
    names = sync_pb2.DESCRIPTOR.services_by_name
    servicers = {"StoreService": suite.stores, "StatsService": suite.stats, "SyncService": suite.sync}
    reports = report_pb2.DESCRIPTOR.services_by_name["ReportService"]
    return RpcServer(
        listen=listen,
        services=[
            *(rpc_service(sync_pb2_grpc, names[name], servicer) for name, servicer in servicers.items()),
            rpc_service(report_pb2_grpc, reports, suite.reports),
            rpc_service(audit_pb2_grpc, AUDIT, suite.sync_audit),
        ],
        registry=CollectorRegistry(),
        readiness=readiness(suite, "database"),
    )


def token_server(suite: Suite) -> RpcServer:
    names = token_pb2.DESCRIPTOR.services_by_name
    servicers = {"ConnectionService": suite.connections, "TokenService": suite.tokens}
    return RpcServer(
        listen="127.0.0.1:0",
        services=[
            *(rpc_service(token_pb2_grpc, names[name], servicer) for name, servicer in servicers.items()),
            rpc_service(vault_pb2_grpc, VAULT, suite.vault),
            rpc_service(audit_pb2_grpc, AUDIT, suite.token_audit),
        ],
        registry=CollectorRegistry(),
        readiness=readiness(suite, "database", "encryption"),
    )


def readiness(suite: Suite, *names: str) -> Readiness:
    def check(name: str) -> Any:
        async def usable() -> bool:
            return suite.usable[name]

        return usable

    return Readiness(checks={name: check(name) for name in names})


def gates(clock: ShiftedClock, limits: Limits, registry: CollectorRegistry) -> Gates:
    rule = LockoutRule(max_failures=limits.max_failures, block_seconds=limits.block_seconds)
    admin = MinuteBudget(clock=clock, per_minute=limits.admin)
    oauth = MinuteBudget(clock=clock, per_minute=limits.oauth)
    lockouts, trusted = FailureLockouts(clock=clock, rule=rule), parse_networks(limits.trusted_proxies)
    report = FailureReport(block_seconds=rule.block_seconds, clock=clock, registry=registry)
    door = Door(budget=admin, lockouts=lockouts, report=report, trusted=trusted)
    admins = AdminGate(keys=parse_keys(limits.keys), door=door, sessions=limits.sessions)
    users = UserGate(tokens=limits.tokens, door=door)
    return Gates(
        admin=admins,
        users=users,
        creators=CreatorGate(admin=admins, users=users, door=door),
        oauth=OAuthGate(budget=oauth, trusted=trusted),
        sessions=limits.sessions,
    )


@asynccontextmanager
async def serve_gateway(suite: Suite, targets: Targets, limits: Limits | None = None) -> AsyncIterator[Gateway]:
    """Serve the gateway before these services on a free port."""
    clock, stopping, registry = ShiftedClock(), asyncio.Event(), CollectorRegistry()
    life = Life(version="0.1.0", clock=clock, started=clock.monotonic(), stopping=stopping)
    async with AsyncExitStack() as stack:
        backends = await stack.enter_async_context(open_backends(targets))
        listener = stack.enter_context(bind(Listen(host="127.0.0.1", port=0)))
        port = listener.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        app = create_app(
            Parts(
                backends=backends,
                gates=gates(clock, limits or Limits(), registry),
                life=life,
                registry=registry,
                redirect_uri=f"{url}/auth/tiktok/callback",
                cors_origins=("http://localhost:5173",),
            )
        )
        server = server_of(app)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=10, trust_env=False))
        await client.get("/")
        yield Gateway(url, port, suite, clock, stopping, client)
        stopping.set()
        await client.aclose()
        # Not the graceful way, which has a test of its own: that one waits.
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        for each in server.servers:
            each.close()
        # A caller outside this process may keep its connection for later.
        for connection in list(server.server_state.connections):
            connection.transport.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def serve_suite(limits: Limits | None = None) -> AsyncIterator[Gateway]:
    """Serve the fake services and the gateway before them."""
    suite = Suite()
    async with token_server(suite) as token, sync_server(suite) as sync:
        targets = Targets(token=f"127.0.0.1:{token.port}", sync=f"127.0.0.1:{sync.port}")
        async with serve_gateway(suite, targets, limits) as gateway:
            yield gateway
