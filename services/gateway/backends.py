"""The services behind the gateway, and how they are."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from grpc.aio import Channel
from tokhub.audit.v1 import audit_pb2_grpc
from tokhub.sync.v1 import report_pb2_grpc, sync_pb2, sync_pb2_grpc
from tokhub.token.v1 import token_pb2_grpc, vault_pb2_grpc

from libs.errors import TokhubError, TryLater
from libs.rpc.client import open_channel
from libs.rpc.health import EVERYTHING, serves
from libs.rpc.tls import Certificates

HEALTH_TIMEOUT = 2.0  # seconds
OK = "ok"
UNAVAILABLE = "unavailable"
ENABLED, DISABLED = "enabled", "disabled"


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Where the services listen, and what tells them who calls."""

    token: str
    sync: str
    certificates: Certificates | None = None

    def open(self, target: str) -> Channel:
        """Return a channel to one of them."""
        return open_channel(target, certificates=self.certificates)


class ServiceHealth:
    """Asks one service how it and the things it depends on are."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def usable(self, name: str = EVERYTHING) -> bool:
        """Return whether the service, or the dependency of that name, can be used."""
        try:
            return await serves(self._channel, name, patience=HEALTH_TIMEOUT)
        except TryLater:
            return False
        except TokhubError:
            # A dependency the service does not report by name is part of its overall state.
            return name != EVERYTHING and await self.usable()


class SchedulerHealth:
    """Asks the sync service whether jobs start by themselves; whoever asks meanwhile shares the answer.

    Anybody may ask for the health, and the question is answered from the database: one at a time is enough.
    """

    def __init__(self, sync: sync_pb2_grpc.SyncServiceStub) -> None:
        self._sync = sync
        self._asking: asyncio.Task[str] | None = None

    async def state(self) -> str:
        """Return "enabled", "disabled", or "unavailable" when nobody can tell."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> str:
        try:
            schedule = await self._sync.GetSchedule(sync_pb2.GetScheduleRequest(), timeout=HEALTH_TIMEOUT)
        except TokhubError:
            return UNAVAILABLE
        return ENABLED if schedule.enabled else DISABLED


@dataclass(frozen=True, kw_only=True)
class Health:
    """What GET /health lists."""

    token: ServiceHealth
    sync: ServiceHealth
    scheduler: SchedulerHealth

    async def checks(self) -> Mapping[str, str]:
        """Return "ok" or "unavailable" for everything the suite needs; the scheduler is "enabled" or "disabled"."""
        token, sync, token_database, sync_database, encryption, scheduler = await asyncio.gather(
            self.token.usable(),
            self.sync.usable(),
            self.token.usable("database"),
            self.sync.usable("database"),
            self.token.usable("encryption"),
            self.scheduler.state(),
        )
        usable = {
            "database": token_database and sync_database,
            "encryption": encryption,
            "token": token,
            "sync": sync,
        }
        return {name: OK if good else UNAVAILABLE for name, good in usable.items()} | {"scheduler": scheduler}


@dataclass(frozen=True, kw_only=True)
class Backends:
    """Stubs of the services; watches and exports have channels of their own, apart from short calls and each other."""

    connections: token_pb2_grpc.ConnectionServiceStub
    tokens: token_pb2_grpc.TokenServiceStub
    vault: vault_pb2_grpc.VaultServiceStub
    stores: sync_pb2_grpc.StoreServiceStub
    stats: sync_pb2_grpc.StatsServiceStub
    reports: report_pb2_grpc.ReportServiceStub
    sync: sync_pb2_grpc.SyncServiceStub
    watches: sync_pb2_grpc.SyncServiceStub
    exports: sync_pb2_grpc.StatsServiceStub
    token_audit: audit_pb2_grpc.AuditServiceStub
    sync_audit: audit_pb2_grpc.AuditServiceStub
    health: Health


@asynccontextmanager
async def open_backends(targets: Targets) -> AsyncIterator[Backends]:
    """Open channels to the services while the context is open; services that are down are found when they are up."""
    async with AsyncExitStack() as stack:
        token = await stack.enter_async_context(targets.open(targets.token))
        sync = await stack.enter_async_context(targets.open(targets.sync))
        watches = await stack.enter_async_context(targets.open(targets.sync))
        exports = await stack.enter_async_context(targets.open(targets.sync))
        runs = sync_pb2_grpc.SyncServiceStub(sync)
        yield Backends(
            connections=token_pb2_grpc.ConnectionServiceStub(token),
            tokens=token_pb2_grpc.TokenServiceStub(token),
            vault=vault_pb2_grpc.VaultServiceStub(token),
            stores=sync_pb2_grpc.StoreServiceStub(sync),
            stats=sync_pb2_grpc.StatsServiceStub(sync),
            reports=report_pb2_grpc.ReportServiceStub(sync),
            sync=runs,
            watches=sync_pb2_grpc.SyncServiceStub(watches),
            exports=sync_pb2_grpc.StatsServiceStub(exports),
            token_audit=audit_pb2_grpc.AuditServiceStub(token),
            sync_audit=audit_pb2_grpc.AuditServiceStub(sync),
            health=Health(token=ServiceHealth(token), sync=ServiceHealth(sync), scheduler=SchedulerHealth(runs)),
        )
