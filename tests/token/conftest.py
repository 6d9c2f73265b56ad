"""A token service's parts over a real PostgreSQL and a TikTok that keeps count."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from libs.database.migrations import migrate
from libs.database.pool import Pool, open_pool
from libs.secret import Secret
from libs.vault.ring import KeyRing
from services.token.__main__ import MIGRATIONS, SCHEMA
from services.token.adapters.alarm import Alarm
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.journal.journal import FileJournal, Mode, NoJournal, Place
from services.token.adapters.restoring import PostgresReplay
from services.token.core import exchange
from services.token.core.breaker import Breaker
from services.token.core.cache import ReadCache, SharedReads
from services.token.core.double_spend import DoubleSpendWatch
from services.token.core.exchange import Exchange
from services.token.core.journal import OwnJournal
from services.token.core.refresh import Refresher
from services.token.core.sight import Sight
from services.token.core.tokens import Tokens
from services.token.core.vault import Vault
from services.token.domain.connection import ById, ByOwner, Connection, Need, Owner, OwnerKind, Provider
from tests.fixtures_postgres import TemplateDatabase
from tests.fixtures_sandbox import SandboxProcess
from tests.token.counting_provider import CountingProvider, QuickClock
from tests.token.rpc_client import Client, serving
from tests.token.shop_client import Shops, serving_shops

KEY = bytes(range(32))
MINUTE = Need(min_ttl=60)


def other_than(generation: int) -> Need:
    return replace(MINUTE, spent_generation=generation)


def store(code: str) -> ByOwner:
    return ByOwner(provider=Provider.LOGIN_KIT, owner=Owner(kind=OwnerKind.STORE, id=code))


@dataclass
class Replica:
    """One token service's core."""

    connections: PostgresConnections
    cache: ReadCache
    refresher: Refresher
    tokens: Tokens


class House:
    """One database and one TikTok, with as many replicas as a test asks for."""

    need = Need(min_ttl=60)

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.provider = CountingProvider()
        self.journal: OwnJournal = NoJournal()
        self.breaker = Breaker(QuickClock())
        self.sight = Sight()
        self.vault = Vault(KeyRing({"k1": KEY}, active="k1"))

    def replica(self, name: str = "replica-1", shared: SharedReads | None = None) -> Replica:
        connections = PostgresConnections(pool=self.pool, replica=name)
        parts = exchange.Parts(
            connections=connections,
            providers={Provider.LOGIN_KIT: self.provider},
            journal=self.journal,
            breaker=self.breaker,
            replay=PostgresReplay(pool=self.pool, vault=self.vault),
            vault=self.vault,
            watch=self.watch(name),
            clock=QuickClock(),
        )
        refresher = Refresher(connections=connections, exchange=Exchange(parts), sight=self.sight, clock=QuickClock())
        cache = ReadCache(clock=QuickClock())
        tokens = Tokens(connections=connections, cache=cache, refresher=refresher, vault=self.vault, shared=shared)
        return Replica(connections=connections, cache=cache, refresher=refresher, tokens=tokens)

    def open_journal(self, directory: Path, name: str) -> FileJournal:
        place = Place(directory=directory, name=name, database=UUID(int=1))
        return FileJournal(place, ring=self.vault._ring, clock=QuickClock(), mode=Mode.REQUIRED)

    def watch(self, name: str) -> DoubleSpendWatch:
        alarm = Alarm(pool=self.pool, replica=name, registry=CollectorRegistry())
        connections = PostgresConnections(pool=self.pool, replica=name)
        return DoubleSpendWatch(rows=connections, vault=self.vault, alarm=alarm)

    async def connect(self, code: str = "shop-1", *, account: str | None = None, life: int = 7200) -> Connection:
        grant = replace(self.provider.mint(account or f"account of {code}"), access_seconds=life)
        connections = PostgresConnections(pool=self.pool, replica="setup")
        return await connections.connect(
            store(code), 1, grant, lambda identity, version: self.vault.seal(grant, identity, version)
        )

    async def expire(self, connection: Connection) -> None:
        await self.leave(connection, left=timedelta(seconds=-1))

    async def leave(self, connection: Connection, *, left: timedelta) -> None:
        """Let the access token be as old as it must be to have so much left of two hours."""
        await self.pool.execute(
            "UPDATE connections SET access_expires_at = clock_timestamp() + $2::interval, "
            "received_at = clock_timestamp() + $2::interval - interval '2 h' WHERE id = $1",
            connection.id,
            left,
        )

    async def stored_refresh_token(self, connection_id: UUID) -> Secret:
        held = await self.replica().connections.find(ById(id=connection_id))
        sealed = await self.pool.fetchval("SELECT refresh_token FROM connections WHERE id = $1", connection_id)
        assert held is not None
        return self.vault.open_refresh(sealed, connection_id, held.connection.version)


async def migrate_token(dsn: str) -> None:
    await migrate(dsn, MIGRATIONS, SCHEMA)


@pytest.fixture
async def token_dsn(template_database: TemplateDatabase) -> str:
    """The address of a migrated token database."""
    return await template_database("token", migrate_token)


@pytest.fixture
async def house(token_dsn: str) -> AsyncIterator[House]:
    """A database, a TikTok, and replicas on demand."""
    async with open_pool(token_dsn, application="test", schema=SCHEMA) as pool:
        yield House(pool)


@pytest.fixture
async def client(token_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Client]:
    """A caller of a token service that serves."""
    async with serving(token_dsn, sandbox) as one:
        yield one


@pytest.fixture
async def shops(token_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Shops]:
    """A caller of a token service that serves TikTok Shop."""
    async with serving_shops(token_dsn, sandbox) as one:
        yield one
