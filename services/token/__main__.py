"""Start the token service: read settings, open what it needs, build the core, serve until told to stop."""

import asyncio
import os
import platform
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry
from tokhub.token.v1 import token_pb2, token_pb2_grpc, vault_pb2, vault_pb2_grpc

from libs.clock import SystemClock
from libs.database.migrations import migrate
from libs.database.notify import NotificationListener
from libs.database.pool import Pool, PoolLimits, borrow, open_pool
from libs.errors import ServerMisconfig, StorageUnavailable
from libs.logs import configure_logs
from libs.metrics import serve_metrics
from libs.process import run
from libs.rpc.server import Readiness, RpcServer, RpcService
from libs.settings import EX_CONFIG, EX_TEMPFAIL, load
from libs.tiktok.transport import Transport
from libs.vault.ring import KeyRing, WrongKeys, parse_keys
from services.token.adapters.bulk import PostgresBulk
from services.token.adapters.canaries import check_keys
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.due import PostgresDue
from services.token.adapters.events import PostgresEvents
from services.token.adapters.forecast_rows import PostgresForecast
from services.token.adapters.identity import identify
from services.token.adapters.imports import PostgresImports
from services.token.adapters.journal.journal import FileJournal, Mode, NoJournal, Place, databases_in
from services.token.adapters.journal.records import JournalCorrupt
from services.token.adapters.key_ring import PostgresKeyRing
from services.token.adapters.links import PostgresLinks
from services.token.adapters.provider_events import PostgresProviderEvents
from services.token.adapters.providers import event_readers, login_kit_provider, shop_provider
from services.token.adapters.refresh_runs import PostgresRefreshRuns
from services.token.adapters.restoring import PostgresReplay
from services.token.adapters.revocations import PostgresRevocations
from services.token.adapters.rotations import PostgresRotations
from services.token.adapters.sealed_rows import PostgresSealedRows
from services.token.adapters.shops import PostgresShops
from services.token.adapters.timeline import CHANNEL
from services.token.adapters.timeline_rows import PostgresTimeline
from services.token.core import authorization, disconnection, exchange, rotation
from services.token.core.ahead import RefreshAhead
from services.token.core.authorization import Authorization
from services.token.core.batch import BatchTokens
from services.token.core.breaker import Breaker
from services.token.core.cache import ReadCache
from services.token.core.directory import Directory
from services.token.core.disconnection import Disconnection
from services.token.core.exchange import Exchange
from services.token.core.explain import Explainer
from services.token.core.forecast import Forecaster
from services.token.core.importing import Importing
from services.token.core.journal import OwnJournal, ReplayPort, settle
from services.token.core.journal_keeping import JournalKeeper
from services.token.core.key_ring import RingMember
from services.token.core.provider import ProviderPort
from services.token.core.provider_events import ProviderEvents
from services.token.core.refresh import Refresher
from services.token.core.refresh_all import RefreshAll
from services.token.core.retention import Retention
from services.token.core.rotation import KeyRotation
from services.token.core.shops import ShopLearner
from services.token.core.state import States, derive
from services.token.core.tokens import Tokens
from services.token.core.upkeep import Chore, upkeep
from services.token.core.vault import Vault
from services.token.core.verification import Verification
from services.token.core.watch_tokens import TokenWatch
from services.token.domain.connection import Provider
from services.token.servicers import connection as connection_service
from services.token.servicers.connection import ConnectionServicer
from services.token.servicers.token import TokenServicer
from services.token.servicers.vault import VaultServicer
from services.token.settings import TokenSettings

SCHEMA = "credentials"
MIGRATIONS = Path(__file__).parent / "migrations"
UPKEEP_EVERY = 15.0  # seconds
# Login Kit repeats an event for 72 hours.
PROVIDER_EVENTS_KEPT = timedelta(days=8)

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Vaulting:
    """This replica's part in the key ring, and what operators do with the vault."""

    member: RingMember
    keys: PostgresKeyRing
    rotation: KeyRotation
    verification: Verification


@dataclass(frozen=True, kw_only=True)
class Core:
    """The parts a servicer calls, and those that must land before the process ends."""

    tokens: Tokens
    cache: ReadCache
    directory: Directory
    refresher: Refresher
    authorizing: Authorization
    disconnecting: Disconnection
    importing: Importing | None
    explainer: Explainer
    events: ProviderEvents
    retention: Retention
    vaulting: Vaulting
    chores: Sequence[Chore]
    refresh_all: RefreshAll
    batch: BatchTokens
    watch: TokenWatch
    forecaster: Forecaster


def build_vaulting(ring: KeyRing, pool: Pool, replica: str) -> Vaulting:
    """Put the core of VaultService together."""
    clock, vault, rows = SystemClock(), Vault(ring), PostgresSealedRows(pool)
    keys = PostgresKeyRing(pool=pool, replica=replica)
    member = RingMember(ring=ring, keys=keys, clock=clock)
    parts = rotation.Parts(
        member=member,
        keys=keys,
        rows=rows,
        connections=PostgresConnections(pool=pool, replica=replica),
        rotations=PostgresRotations(pool),
        vault=vault,
        clock=clock,
    )
    return Vaulting(
        member=member, keys=keys, rotation=KeyRotation(parts), verification=Verification(rows=rows, vault=vault)
    )


def replica_name() -> str:
    """Return a name for this process that its operator recognises and no other process has."""
    return f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What the core stands on, open while the process runs; replica is this process's name in rows and files."""

    pool: Pool
    transport: Transport
    ring: KeyRing
    journal: OwnJournal
    replica: str


def build_core(settings: TokenSettings, grounds: Grounds) -> Core:
    """Put the core together over its adapters."""
    clock, journal = SystemClock(), grounds.journal
    vault = Vault(grounds.ring, mark_key=derive(settings.state_secret, "refresh-token-mark"))
    providers: dict[Provider, ProviderPort] = {
        Provider.LOGIN_KIT: login_kit_provider(settings, grounds.transport, clock)
    }
    shop = shop_provider(settings, grounds.transport, clock)
    if shop:
        providers[Provider.TIKTOK_SHOP] = shop
    connections = PostgresConnections(pool=grounds.pool, replica=grounds.replica)
    cache = ReadCache(clock=clock)
    links = PostgresLinks(grounds.pool)
    spending = exchange.Parts(
        connections=connections,
        providers=providers,
        journal=journal,
        breaker=Breaker(clock),
        vault=vault,
        clock=clock,
    )
    refresher = Refresher(connections=connections, exchange=Exchange(spending), clock=clock)
    states = States(
        secret=settings.state_secret, clock=clock, lifetime=timedelta(seconds=settings.oauth_state_ttl_seconds)
    )
    parts = authorization.Parts(
        connections=connections, links=links, providers=providers, journal=journal, vault=vault, clock=clock
    )
    ending = disconnection.Parts(
        rows=PostgresRevocations(pool=grounds.pool, replica=grounds.replica),
        providers=providers,
        journal=journal,
        vault=vault,
        clock=clock,
    )
    disconnecting = Disconnection(ending)
    event_rows = PostgresProviderEvents(pool=grounds.pool, replica=grounds.replica)
    events_kept = Retention(rows=event_rows, age=PROVIDER_EVENTS_KEPT, clock=clock)
    chores: tuple[Chore, ...] = (events_kept.sweep, disconnecting.revoke_due)
    importing = None
    if shop:
        learner = ShopLearner(rows=PostgresShops(grounds.pool), source=shop, vault=vault)
        importing = Importing(rows=PostgresImports(grounds.pool), refresher=refresher, learner=learner, vault=vault)
        chores += (learner.learn_due, importing.finish_due)
    directory, timeline = Directory(connections), PostgresTimeline(grounds.pool)
    tokens = Tokens(connections=connections, cache=cache, refresher=refresher, vault=vault)
    return Core(
        tokens=tokens,
        cache=cache,
        directory=directory,
        refresher=refresher,
        authorizing=Authorization(parts, states),
        disconnecting=disconnecting,
        importing=importing,
        explainer=Explainer(directory=directory, timeline=timeline),
        events=ProviderEvents(readers=event_readers(settings, clock), rows=event_rows),
        retention=Retention(rows=timeline, age=timedelta(days=settings.token_events_days), clock=clock),
        vaulting=build_vaulting(grounds.ring, grounds.pool, grounds.replica),
        chores=chores,
        refresh_all=RefreshAll(
            runs=PostgresRefreshRuns(grounds.pool),
            refresher=refresher,
            clock=clock,
            concurrency=settings.refresh_concurrency,
        ),
        batch=BatchTokens(rows=PostgresBulk(grounds.pool), tokens=tokens),
        watch=TokenWatch(PostgresEvents(grounds.pool)),
        forecaster=Forecaster(PostgresForecast(grounds.pool)),
    )


async def serve(settings: TokenSettings, stop: asyncio.Event) -> None:
    """Run until stop is set, then let everything in flight land."""
    dsn = settings.database_url.reveal()
    ring = parse_keys(settings.token_enc_key, settings.token_enc_keys)
    limits = PoolLimits(min_size=settings.db_pool_min, max_size=settings.db_pool_size)
    await migrate(dsn, MIGRATIONS, SCHEMA)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(dsn, application="tokhub-token", schema=SCHEMA, limits=limits))
        await check_keys(pool, ring)
        await PostgresEvents(pool).adopt()
        # A token call that dies on a connection kept too long would have an unknown outcome for nothing.
        transport = await stack.enter_async_context(Transport(keep_alive=False))
        replica = replica_name()
        journal = await stack.enter_async_context(open_journal(settings, ring, pool, replica))
        grounds = Grounds(pool=pool, transport=transport, ring=ring, journal=journal, replica=replica)
        core = build_core(settings, grounds)
        # Before the journal is replayed: from here on the key that seals is the one that all replicas agree on.
        member = await stack.enter_async_context(core.vaulting.member)
        await stack.enter_async_context(following(core, journal, PostgresReplay(pool=pool, vault=Vault(ring)), dsn))
        stack.callback(asyncio.create_task(core.retention.keep()).cancel)
        stack.push_async_callback(core.refresher.drain)
        ahead = RefreshAhead(
            rows=PostgresDue(pool),
            refresher=core.refresher,
            clock=SystemClock(),
            in_flight=settings.refresh_ahead_concurrency,
        )
        await stack.enter_async_context(ahead)
        stack.push_async_callback(core.authorizing.drain)
        stack.push_async_callback(core.disconnecting.drain)
        await stack.enter_async_context(upkeep(core.chores, every=UPKEEP_EVERY, clock=SystemClock()))
        stack.push_async_callback(core.refresh_all.drain)
        registry = CollectorRegistry()
        stack.enter_context(serve_metrics(settings.token_metrics_port, registry))
        server = RpcServer(
            listen=settings.token_listen,
            services=proto_services(core),
            registry=registry,
            readiness=Readiness(checks={"database": lambda: answers(pool), "encryption": lambda: in_step(member)}),
        )
        await stack.enter_async_context(server)
        # The server waits for streams that end by themselves; these would not.
        stack.callback(core.refresh_all.close)
        stack.callback(core.watch.close)
        await stop.wait()


@asynccontextmanager
async def open_journal(settings: TokenSettings, ring: KeyRing, pool: Pool, replica: str) -> AsyncIterator[OwnJournal]:
    """Yield the journal that JOURNAL_MODE asks for."""
    mode = Mode(settings.journal_mode)
    if mode is Mode.OFF:
        log.warning("no journal is kept: tokens that TikTok gives while the database is down can be lost")
        yield NoJournal()
        return
    database = await identify(pool, databases_in(settings.journal_dir))
    place = Place(directory=settings.journal_dir, name=replica, database=database)
    async with FileJournal(place, ring=ring, clock=SystemClock(), mode=mode) as journal:
        yield journal


@asynccontextmanager
async def following(core: Core, journal: OwnJournal, rows: ReplayPort, dsn: str) -> AsyncIterator[None]:
    """Settle what ended processes left, then hear what others change, and replay when the database comes back."""
    await settle(await journal.inherit(), rows)
    keeper = JournalKeeper(journal=journal, rows=rows, clock=SystemClock())

    def on_gap() -> None:
        core.cache.clear()
        core.watch.wake()
        keeper.wake()

    def on_event(connection_id: str) -> None:
        core.cache.changed(connection_id)
        core.watch.wake()

    handlers = {CHANNEL: on_event}
    listener = NotificationListener(dsn, handlers=handlers, on_gap=on_gap, clock=SystemClock())
    core.cache.listen_to(listener)
    async with listener, keeper:
        yield


def proto_services(core: Core) -> list[RpcService]:
    """Return the proto services of this process."""
    token = TokenServicer(tokens=core.tokens, batch=core.batch, refresh_all=core.refresh_all, watch=core.watch)
    connection = ConnectionServicer(
        connection_service.Parts(
            authorization=core.authorizing,
            disconnection=core.disconnecting,
            importing=core.importing,
            directory=core.directory,
            explainer=core.explainer,
            forecaster=core.forecaster,
            events=core.events,
        )
    )
    vaulting = core.vaulting
    vault = VaultServicer(keys=vaulting.keys, rotation=vaulting.rotation, verification=vaulting.verification)
    names = token_pb2.DESCRIPTOR.services_by_name
    return [
        RpcService(
            name=names["TokenService"].full_name,
            register=lambda server: token_pb2_grpc.add_TokenServiceServicer_to_server(token, server),
        ),
        RpcService(
            name=names["ConnectionService"].full_name,
            register=lambda server: token_pb2_grpc.add_ConnectionServiceServicer_to_server(connection, server),
        ),
        RpcService(
            name=vault_pb2.DESCRIPTOR.services_by_name["VaultService"].full_name,
            register=lambda server: vault_pb2_grpc.add_VaultServiceServicer_to_server(vault, server),
        ),
    ]


async def answers(pool: Pool) -> bool:
    """Return whether the database answers and takes writes."""
    async with borrow(pool) as database:
        return bool(await database.fetchval("SELECT NOT current_setting('transaction_read_only')::boolean"))


async def in_step(member: RingMember) -> bool:
    """Return whether this replica has the key that seals."""
    return member.in_step


def main() -> None:
    """Run the service; wrong settings end it with status 78 and one line."""
    settings = load(TokenSettings)
    configure_logs("token", settings.log_level)
    try:
        run(lambda stop: serve(settings, stop))
    except (WrongKeys, JournalCorrupt, ServerMisconfig, StorageUnavailable) as error:
        sys.stderr.write(f"tokhub token service cannot start: {error}\n")
        sys.exit(EX_TEMPFAIL if isinstance(error, StorageUnavailable) else EX_CONFIG)


if __name__ == "__main__":
    main()
