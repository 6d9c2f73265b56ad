"""The services that a command asks, and the one way to ask them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import grpc
from tokhub.audit.v1 import audit_pb2_grpc
from tokhub.sync.v1 import sync_pb2_grpc
from tokhub.token.v1 import token_pb2_grpc, vault_pb2_grpc

from cli.settings import ClientSettings, client_settings
from libs.clock import SystemClock
from libs.rpc.client import open_channel

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TokenSide:
    """What the token service offers."""

    channel: grpc.aio.Channel
    tokens: token_pb2_grpc.TokenServiceStub
    connections: token_pb2_grpc.ConnectionServiceStub
    vault: vault_pb2_grpc.VaultServiceStub
    audit: audit_pb2_grpc.AuditServiceStub


@dataclass(frozen=True, kw_only=True)
class SyncSide:
    """What the sync service offers."""

    channel: grpc.aio.Channel
    stores: sync_pb2_grpc.StoreServiceStub
    runs: sync_pb2_grpc.SyncServiceStub
    audit: audit_pb2_grpc.AuditServiceStub


@dataclass(frozen=True, kw_only=True)
class Services:
    """Both services; a connection is made when the first call needs it."""

    token: TokenSide
    sync: SyncSide


@asynccontextmanager
async def open_services(settings: ClientSettings) -> AsyncIterator[Services]:
    """Yield the services; raise ServerMisconfig for certificates that cannot be used."""
    certificates = settings.certificates(SystemClock())
    async with (
        open_channel(settings.token_target, certificates=certificates) as token,
        open_channel(settings.sync_target, certificates=certificates) as sync,
    ):
        yield Services(
            token=TokenSide(
                channel=token,
                tokens=token_pb2_grpc.TokenServiceStub(token),
                connections=token_pb2_grpc.ConnectionServiceStub(token),
                vault=vault_pb2_grpc.VaultServiceStub(token),
                audit=audit_pb2_grpc.AuditServiceStub(token),
            ),
            sync=SyncSide(
                channel=sync,
                stores=sync_pb2_grpc.StoreServiceStub(sync),
                runs=sync_pb2_grpc.SyncServiceStub(sync),
                audit=audit_pb2_grpc.AuditServiceStub(sync),
            ),
        )


def ask(work: Callable[[Services], Awaitable[T]]) -> T:
    """Return what the work returns; raise WrongSetting, or the error that a service raised."""

    async def asking() -> T:
        async with open_services(client_settings()) as services:
            return await work(services)

    return asyncio.run(asking())
