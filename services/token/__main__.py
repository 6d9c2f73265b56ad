"""Start the token service: read settings, open what it needs, build the core, serve until told to stop."""

import asyncio
import os
import platform
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from libs.clock import SystemClock
from libs.database.migrations import migrate
from libs.database.notify import NotificationListener
from libs.database.patience import once_usable
from libs.database.pool import Pool, PoolLimits, borrow, open_pool
from libs.database.pool_metrics import PoolMetrics
from libs.database.recording import record_calls
from libs.database.report_role import show_to_reports
from libs.errors import ServerMisconfig, StorageUnavailable
from libs.metrics import LastLook, process_registry, serve_metrics
from libs.migrating import migrate_instead
from libs.process import run
from libs.rpc.access import Access
from libs.rpc.recording import Trail
from libs.rpc.server import Readiness, RpcServer
from libs.settings import EX_CONFIG, EX_IOERR, EX_TEMPFAIL, load
from libs.signals import configure_signals
from libs.tiktok.transport import Transport
from libs.vault.ring import KeyRing, WrongKeys, parse_keys
from services.token.adapters.canaries import check_keys
from services.token.adapters.events import PostgresEvents
from services.token.adapters.identity import identify
from services.token.adapters.journal.journal import FileJournal, Mode, NoJournal, Place, databases_in
from services.token.adapters.outlook import Outlook
from services.token.adapters.timeline import CHANNEL
from services.token.composition import Core, Grounds, build_core, proto_services
from services.token.core.cache import SharedReads
from services.token.core.journal import JournalCorrupt, OwnJournal
from services.token.core.journal_keeping import JournalKeeper
from services.token.core.key_ring import RingMember
from services.token.core.landing import TokensLost
from services.token.core.state import derive
from services.token.core.upkeep import upkeep
from services.token.policy import policy
from services.token.settings import TokenSettings

SCHEMA = "credentials"
MIGRATIONS = Path(__file__).parent / "migrations"
# What people may read of this schema with SQL.
SHOWN = ("credentials.connection_facts", "credentials.shop_facts", "credentials.refresh_tiktokshops_token")
UPKEEP_EVERY, LOOK_EVERY = 15.0, 60.0  # seconds
RESERVE = PoolLimits(min_size=1, max_size=4)

log = structlog.get_logger()


def replica_name() -> str:
    """Return a name for this process that its operator recognises and no other process has."""
    return f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


async def serve(settings: TokenSettings, stop: asyncio.Event) -> None:
    """Run until stop is set, then let everything in flight land."""
    dsn = settings.database_url.reveal()
    ring = parse_keys(settings.token_enc_key, settings.token_enc_keys)
    await prepare_schema(dsn)
    async with AsyncExitStack() as stack:
        grounds = await stack.enter_async_context(open_grounds(settings, ring))
        core = build_core(settings, grounds)
        readiness = await stack.enter_async_context(at_work(core, grounds, dsn))
        await stack.enter_async_context(measuring(grounds))
        recording = record_calls(settings, grounds.pool, SCHEMA, grounds.registry)
        stack.enter_context(serve_metrics(str(settings.metrics_host), settings.token_metrics_port, grounds.registry))
        await stack.enter_async_context(upkeep(recording.chores, every=UPKEEP_EVERY, clock=SystemClock()))
        server = RpcServer(
            listen=settings.token_listen,
            services=[*proto_services(core), recording.service],
            registry=grounds.registry,
            readiness=readiness,
            access=access_to(settings, recording.calls),
        )
        await stack.enter_async_context(server)
        await stop.wait()


async def prepare_schema(dsn: str) -> None:
    """Bring the schema to this release's revision, and show of it what people may read."""
    await migrate(dsn, MIGRATIONS, SCHEMA)
    await show_to_reports(dsn, SHOWN)


def access_to(settings: TokenSettings, trail: Trail) -> Access | None:
    """Return who may call what, None when callers cannot be told apart."""
    certificates = settings.certificates(SystemClock())
    if certificates is None:
        return None
    return Access(certificates=certificates, policy=policy(settings.token_readers), trail=trail)


@asynccontextmanager
async def open_grounds(settings: TokenSettings, ring: KeyRing) -> AsyncIterator[Grounds]:
    """Yield what the core stands on; raise WrongKeys for a ring that the database was not sealed with."""
    dsn, replica, registry = settings.database_url.reveal(), replica_name(), process_registry("token")
    limits = PoolLimits(min_size=settings.db_pool_min, max_size=settings.db_pool_size)
    # PostgreSQL knows a replica by the name of its sessions: without any it is dead (adapters/refresh_runs.py).
    named, tell = f"tokhub-token {replica}", settings.statement_teller
    async with (
        open_pool(dsn, application=named, schema=SCHEMA, limits=limits, tell=tell) as pool,
        open_pool(dsn, application=named, schema=SCHEMA, limits=RESERVE, tell=tell) as reserve,
        # A token call that dies on a connection kept too long would have an unknown outcome for nothing.
        Transport(keep_alive=False) as transport,
        open_shared_reads(settings, registry) as shared,
    ):
        await check_keys(pool, ring)
        await PostgresEvents(pool).adopt()
        async with open_journal(settings, ring, pool, replica) as journal:
            yield Grounds(
                pool=pool,
                reserve=reserve,
                transport=transport,
                ring=ring,
                journal=journal,
                replica=replica,
                registry=registry,
                shared=shared,
            )


@asynccontextmanager
async def measuring(grounds: Grounds) -> AsyncIterator[None]:
    """Let metrics tell of the pools, and of all connections as they are every LOOK_EVERY seconds.

    The first look is no part of the start: over very many connections it can take longer than a statement may.
    """
    grounds.registry.register(PoolMetrics(lambda: {"main": grounds.pool, "reserve": grounds.reserve}))
    look = LastLook(Outlook(grounds.pool).look, every=LOOK_EVERY, clock=SystemClock())
    grounds.registry.register(look)
    async with upkeep([look.refresh], every=LOOK_EVERY, clock=SystemClock(), first=0.0):
        yield


@asynccontextmanager
async def at_work(core: Core, grounds: Grounds, dsn: str) -> AsyncIterator[Readiness]:
    """Do what is done in the background, and yield what has to be usable; at the end let land what is in flight."""
    async with AsyncExitStack() as stack:
        # Before the journal is replayed: from here on the key that seals is the one that all replicas agree on.
        member = await stack.enter_async_context(core.vaulting.member)
        keeper = await stack.enter_async_context(following(core, grounds, dsn))
        stack.push_async_callback(core.refreshing.landing.landed)
        await stack.enter_async_context(core.refreshing.ahead)
        stack.push_async_callback(core.connecting.authorization.drain)
        stack.push_async_callback(core.connecting.disconnection.drain)
        await stack.enter_async_context(upkeep(core.chores, every=UPKEEP_EVERY, clock=SystemClock()))
        stack.push_async_callback(core.refreshing.refresh_all.drain)
        stack.callback(core.refreshing.landing.begin)
        yield readiness_of(grounds.pool, member, keeper)


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
async def open_shared_reads(settings: TokenSettings, registry: CollectorRegistry) -> AsyncIterator[SharedReads | None]:
    """Yield the cache that REDIS_URL asks for, None without one."""
    if settings.redis_url is None:
        yield None
        return
    try:
        from services.token.adapters.shared_reads import open_redis  # noqa: PLC0415 - an optional package
    except ImportError:
        raise ServerMisconfig(
            "REDIS_URL needs a package: install it with `pip install --require-hashes -r requirements/redis.txt`."
        ) from None
    key = derive(settings.state_secret, "shared-reads")
    async with open_redis(settings.redis_url, key=key, registry=registry, clock=SystemClock()) as shared:
        yield shared


@asynccontextmanager
async def following(core: Core, grounds: Grounds, dsn: str) -> AsyncIterator[JournalKeeper]:
    """Settle what ended processes left, then hear what others change, and replay when the database comes back."""
    keeper = JournalKeeper(
        journal=grounds.journal,
        rows=core.refreshing.replay,
        watch=core.refreshing.double_spends,
        sight=grounds.sight,
        clock=SystemClock(),
    )
    await keeper.take_over()

    cache, watch, shared = core.reading.cache, core.reading.watch, grounds.shared

    def on_gap() -> None:
        cache.clear()
        watch.wake()
        keeper.wake()

    def on_event(connection_id: str) -> None:
        cache.changed(connection_id)
        watch.wake()
        if shared:
            shared.changed(connection_id)

    handlers = {CHANNEL: on_event}
    listener = NotificationListener(
        dsn, handlers=handlers, on_gap=on_gap, on_loss=grounds.sight.lose, clock=SystemClock()
    )
    cache.listen_to(listener)
    async with listener, keeper:
        yield keeper


def readiness_of(pool: Pool, member: RingMember, keeper: JournalKeeper) -> Readiness:
    """Return what has to be usable for this replica to serve."""

    async def database() -> bool:
        async with borrow(pool) as borrowed:
            return bool(await borrowed.fetchval("SELECT NOT current_setting('transaction_read_only')::boolean"))

    async def encryption() -> bool:
        return member.in_step

    async def journal() -> bool:
        return keeper.intact

    async def journal_disk() -> bool:
        return keeper.writable

    # Tokens that live are handed out without a journal: other replicas may have no disk that is any better.
    checks = {"database": database, "encryption": encryption, "journal": journal}
    return Readiness(checks=checks, apart={"journal_disk": journal_disk})


def main() -> None:
    """Run the service; its status is 78 for wrong settings, 75 for a database that stays away, 74 for lost tokens."""
    migrate_instead(SCHEMA, prepare_schema)
    settings = load(TokenSettings)
    try:
        configure_signals("token", settings)
        run(lambda stop: once_usable(lambda: serve(settings, stop), stop))
    except (WrongKeys, JournalCorrupt, ServerMisconfig, StorageUnavailable) as error:
        sys.stderr.write(f"tokhub token service cannot start: {error}\n")
        sys.exit(EX_TEMPFAIL if isinstance(error, StorageUnavailable) else EX_CONFIG)
    except TokensLost as lost:
        sys.stderr.write(f"tokhub token service has ended: {lost}\n")
        sys.exit(EX_IOERR)


if __name__ == "__main__":
    main()
