"""Start the sync service: read settings, open what it needs, build the core, serve and work until told to stop."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import CollectorRegistry
from tokhub.sync.v1 import report_pb2, report_pb2_grpc, sync_pb2, sync_pb2_grpc

from libs.clock import SystemClock
from libs.database.migrations import migrate
from libs.database.notify import NotificationListener
from libs.database.patience import once_usable
from libs.database.pool import PoolLimits, open_pool
from libs.database.pool_metrics import PoolMetrics
from libs.database.recording import Recording, record_calls
from libs.errors import ServerMisconfig, StorageUnavailable
from libs.metrics import LastLook, process_registry, serve_metrics
from libs.migrating import migrate_instead
from libs.process import run
from libs.rpc.access import Access
from libs.rpc.client import open_channel
from libs.rpc.recording import Trail
from libs.rpc.server import Readiness, RpcServer, RpcService
from libs.settings import EX_CONFIG, EX_TEMPFAIL, load
from libs.signals import configure_signals
from libs.tiktok.address import origin_of
from libs.tiktok.display import DisplayClient
from libs.tiktok.transport import Transport
from services.sync.adapters.budget import SharedBudget
from services.sync.adapters.exports import ENCODERS
from services.sync.adapters.hints import RunHints
from services.sync.adapters.metered_display import MeteredDisplay
from services.sync.adapters.metered_items import MeteredItems
from services.sync.adapters.orphans import Orphans
from services.sync.adapters.postgres.channels import CHANNEL
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.export_rows import ExportRows
from services.sync.adapters.postgres.item_rows import ItemRows
from services.sync.adapters.postgres.log_rows import LogRows
from services.sync.adapters.postgres.old_runs import OldRuns
from services.sync.adapters.postgres.outlook import Outlook
from services.sync.adapters.postgres.partitions import Partitions
from services.sync.adapters.postgres.report_database import LIMITS as REPORT_LIMITS
from services.sync.adapters.postgres.report_database import ReportDatabase
from services.sync.adapters.postgres.report_rows import ReportRows
from services.sync.adapters.postgres.report_views import install_report_views
from services.sync.adapters.postgres.run_cancelling import RunCancelling
from services.sync.adapters.postgres.run_creation import RunCreation
from services.sync.adapters.postgres.run_rows import RunRows
from services.sync.adapters.postgres.slot_log import SlotLog
from services.sync.adapters.postgres.snapshot_reads import SnapshotReads
from services.sync.adapters.postgres.snapshot_writes import SnapshotWrites
from services.sync.adapters.postgres.store_rows import StoreRows
from services.sync.adapters.postgres.tick_rows import TickRows
from services.sync.adapters.queue import JobQueue
from services.sync.adapters.queue_consumer import QueueConsumer
from services.sync.adapters.standing import Standing
from services.sync.adapters.token_service import ConnectionClient, TokenClient
from services.sync.core.account_calls import AccountCalls
from services.sync.core.calendar import Calendar
from services.sync.core.cancel_run import RunCanceller
from services.sync.core.circuit import Circuit
from services.sync.core.export import Exports
from services.sync.core.jobs import RefreshJob, UserJob, VideoJob
from services.sync.core.metrics import CreatorMetrics
from services.sync.core.places import Places
from services.sync.core.progress_log import ProgressLog
from services.sync.core.reports import Reports
from services.sync.core.retention import History, Retention
from services.sync.core.scheduler import Scheduler
from services.sync.core.show_budget import BudgetViewer
from services.sync.core.show_run import RunViewer
from services.sync.core.show_schedule import ScheduleDesk
from services.sync.core.start_run import Roster, RunStarter
from services.sync.core.stats import Stats
from services.sync.core.stores import Stores
from services.sync.core.upkeep import Upkeep, repeat
from services.sync.core.upstream_gate import UpstreamGate
from services.sync.core.watch_run import RunWatch
from services.sync.core.work_item import FailureRule, ItemWorker
from services.sync.domain.jobs import Job
from services.sync.domain.links import ConnectLinks
from services.sync.domain.retry import RetryRule
from services.sync.policy import POLICY
from services.sync.servicers.reports import ReportServicer
from services.sync.servicers.stats import StatsServicer
from services.sync.servicers.stores import StoreServicer
from services.sync.servicers.sync import Runs, SyncServicer
from services.sync.settings import SyncSettings

SCHEMA = "reporting"
MIGRATIONS = Path(__file__).parent / "migrations"
FINISH_WITHIN = 10.0  # seconds that items at work have for the page in hand, and runs to be stored or cancelled
ORPHANS_EVERY, PRUNE_EVERY, PARTITIONS_EVERY, FIGURES_EVERY = 10.0, 600.0, 3_600.0, 60.0  # seconds
# Once a day is enough; a month that somebody was reading is tried again sooner.
RETENTION_EVERY = 3_600.0  # seconds
CHAIN_EVERY, LOOK_EVERY = 15.0, 15.0  # seconds

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What the core reaches the world through, and what is told of it."""

    database: Database
    recording: Recording
    reports: ReportDatabase
    tokens: TokenClient
    connections: ConnectionClient
    display: MeteredDisplay
    budget: SharedBudget
    hints: RunHints
    registry: CollectorRegistry
    look: LastLook


@dataclass(frozen=True, kw_only=True)
class Core:
    """The parts that servicers, the queue and the upkeep call."""

    stores: Stores
    stats: Stats
    reports: Reports
    exports: Exports
    creators: CreatorMetrics
    runs: Runs
    schedule: ScheduleDesk
    budget: BudgetViewer
    scheduler: Scheduler
    worker: ItemWorker
    upkeep: Upkeep
    retention: Retention
    history: History


def build_core(settings: SyncSettings, outside: Outside, stop: asyncio.Event) -> Core:
    """Put the core together over its adapters."""
    clock, database, queue = SystemClock(), outside.database, JobQueue()
    calendar = Calendar(clock=clock, zone=ZoneInfo(settings.tz))
    store_rows, run_rows, partitions = StoreRows(database), RunRows(database), Partitions(database)
    runs = RunCreation(database=database, runs=run_rows, queue=queue)
    ticks = TickRows(database)
    roster = Roster(connections=outside.connections, stores=store_rows, links=connect_links(settings))
    starter = RunStarter(roster=roster, runs=runs, partitions=partitions, calendar=calendar)
    return Core(
        stores=Stores(rows=store_rows, accounts=outside.connections, clock=clock),
        stats=Stats(stores=store_rows, snapshots=SnapshotReads(database), logs=LogRows(database), calendar=calendar),
        reports=Reports(rows=ReportRows(outside.reports), calendar=calendar),
        creators=CreatorMetrics(connections=outside.connections, snapshots=SnapshotReads(database)),
        exports=Exports(snapshots=ExportRows(outside.reports), encoders=ENCODERS, calendar=calendar),
        runs=Runs(
            starter=starter,
            watch=RunWatch(rows=run_rows, hints=outside.hints, clock=clock),
            viewer=RunViewer(rows=run_rows),
            canceller=RunCanceller(ender=RunCancelling(database), rows=run_rows),
        ),
        schedule=ScheduleDesk(
            timetable=settings.timetable, runs=run_rows, fires=ticks, starting=(starter, roster), clock=clock
        ),
        budget=BudgetViewer(SlotLog(database=database, limit=settings.rate_limit)),
        scheduler=Scheduler(
            schedules=settings.timetable.schedules if settings.cron_enabled else (),
            ticks=ticks,
            starter=starter,
            clock=clock,
        ),
        worker=build_worker(settings, outside, stop),
        upkeep=Upkeep(orphans=Orphans(database=database, queue=queue), partitions=partitions, calendar=calendar),
        retention=Retention(months=partitions, calendar=calendar, days=settings.retention_days or None),
        history=History(runs=OldRuns(database), calendar=calendar, days=settings.sync_history_days or None),
    )


def connect_links(settings: SyncSettings) -> ConnectLinks:
    """Return links to the gateway, whose address TikTok's callback names."""
    return ConnectLinks(origin_of(settings.tiktok_redirect_uri))


def build_worker(settings: SyncSettings, outside: Outside, stop: asyncio.Event) -> ItemWorker:
    """Put together what works on items."""
    clock, database = SystemClock(), outside.database
    circuit, places = Circuit(clock), Places(settings.places)
    schedules = len(settings.timetable.schedules) if settings.cron_enabled else 0
    standing = Standing(circuit=circuit, budget=outside.budget, database=database, schedules=schedules)
    outside.registry.register(standing)
    gate = UpstreamGate(circuit=circuit, budget=outside.budget)
    accounts = AccountCalls(tokens=outside.tokens, places=places, gate=gate, display=outside.display, clock=clock)
    snapshots = SnapshotWrites(database)
    return ItemWorker(
        items=MeteredItems(items=ItemRows(database), registry=outside.registry),
        jobs={
            Job.USER: UserJob(accounts=accounts, snapshots=snapshots),
            Job.VIDEO: VideoJob(
                accounts=accounts,
                snapshots=snapshots,
                clock=clock,
                page_spacing=settings.rate_limit.page_spacing,
                is_stopping=stop.is_set,
            ),
            Job.REFRESH_TOKENS: RefreshJob(refresher=outside.tokens, places=places),
        },
        failures=FailureRule(retry=RetryRule(), links=connect_links(settings), draw=random.random),
        progress=ProgressLog(clock=clock),
    )


async def open_outside(settings: SyncSettings, stack: AsyncExitStack, registry: CollectorRegistry) -> Outside:
    """Open connections to everything the service needs."""
    dsn = settings.database_url.reveal()
    limits = PoolLimits(
        min_size=min(settings.db_pool_min, settings.db_pool_size),
        max_size=settings.db_pool_size,
        # Items of a run end one behind the other; the start of a large run writes all of its items.
        statement_timeout=15.0,
        lock_timeout=10.0,
    )
    tell = settings.statement_teller
    pool = await stack.enter_async_context(
        open_pool(dsn, application="tokhub-sync", schema=SCHEMA, limits=limits, tell=tell)
    )
    readers = await stack.enter_async_context(
        open_pool(dsn, application="tokhub-sync-reports", schema=SCHEMA, limits=REPORT_LIMITS, tell=tell)
    )
    hints = RunHints()
    listener = NotificationListener(
        dsn, handlers={CHANNEL: hints.announce}, on_gap=hints.announce_all, clock=SystemClock()
    )
    await stack.enter_async_context(listener)
    channel = await stack.enter_async_context(
        open_channel(settings.token_target, certificates=settings.certificates(SystemClock()))
    )
    transport = await stack.enter_async_context(Transport())
    database = Database(pool)
    slots = SlotLog(database=database, limit=settings.rate_limit)
    budget = SharedBudget(log=slots, clock=SystemClock())
    stack.push_async_callback(budget.close)
    registry.register(PoolMetrics(lambda: {"main": pool, "reports": readers}))
    return Outside(
        database=database,
        recording=record_calls(settings, pool, SCHEMA, registry),
        reports=ReportDatabase(readers),
        tokens=TokenClient(channel),
        connections=ConnectionClient(channel),
        display=MeteredDisplay(
            client=DisplayClient(origin=settings.tiktok_api_base_url, sender=transport, clock=SystemClock()),
            registry=registry,
        ),
        budget=budget,
        hints=hints,
        registry=registry,
        look=look_at(Outlook(database=database, slots=slots), registry),
    )


def look_at(outlook: Outlook, registry: CollectorRegistry) -> LastLook:
    """Return the look at runs and queue that metrics tell of."""
    look = LastLook(outlook.look, every=LOOK_EVERY, clock=SystemClock())
    registry.register(look)
    return look


@asynccontextmanager
async def serving(settings: SyncSettings, stop: asyncio.Event) -> AsyncIterator[RpcServer]:
    """Serve and work while the context is open; set stop before leaving it, so that the pages in hand are stored."""
    dsn = settings.database_url.reveal()
    await prepare_schema(dsn)
    async with AsyncExitStack() as stack:
        registry = process_registry("sync")
        outside = await open_outside(settings, stack, registry)
        core = build_core(settings, outside, stop)
        stack.enter_context(serve_metrics(str(settings.metrics_host), settings.sync_metrics_port, registry))
        await core.upkeep.prepare_partitions()
        for task, seconds in (
            (core.upkeep.requeue_orphans, ORPHANS_EVERY),
            (core.upkeep.prune_queue_log, PRUNE_EVERY),
            (core.upkeep.prepare_partitions, PARTITIONS_EVERY),
            (core.retention.sweep, RETENTION_EVERY),
            (core.history.sweep, RETENTION_EVERY),
            (outside.database.report, FIGURES_EVERY),
            (outside.look.refresh, LOOK_EVERY),
            *((chore, CHAIN_EVERY) for chore in outside.recording.chores),
        ):
            stack.callback(asyncio.create_task(repeat(task, every=seconds, clock=SystemClock())).cancel)
        stack.callback(asyncio.create_task(core.scheduler.run()).cancel)
        consumer = QueueConsumer(
            dsn=dsn,
            work=core.worker.work,
            limits=settings.places,
            stop=stop,
        )
        stack.push_async_callback(finish, asyncio.create_task(consumer.run()), core.runs)
        server = RpcServer(
            listen=settings.sync_listen,
            services=[*proto_services(core), outside.recording.service],
            registry=registry,
            readiness=Readiness(checks={"database": outside.database.answers}),
            access=access_to(settings, outside.recording.calls),
        )
        await stack.enter_async_context(server)
        stack.callback(outside.budget.stop)
        yield server


async def prepare_schema(dsn: str) -> None:
    """Bring the schema and the views to report with to this release's revision."""
    await migrate(dsn, MIGRATIONS, SCHEMA)
    await install_report_views(dsn)


def access_to(settings: SyncSettings, trail: Trail) -> Access | None:
    """Return who may call what, None when callers cannot be told apart."""
    certificates = settings.certificates(SystemClock())
    return Access(certificates=certificates, policy=POLICY, trail=trail) if certificates else None


async def serve(settings: SyncSettings, stop: asyncio.Event) -> None:
    """Run until stop is set."""
    async with serving(settings, stop):
        await stop.wait()


async def finish(consuming: asyncio.Task[None], runs: Runs) -> None:
    """Wait for what is under way, then cut it off: another worker goes on from items' cursors, a run changes whole."""
    changing = asyncio.create_task(settled(runs))
    _, unfinished = await asyncio.wait({consuming, changing}, timeout=FINISH_WITHIN)
    if unfinished:
        log.warning("Work was cut off", items=consuming in unfinished, runs=changing in unfinished)
        for task in unfinished:
            task.cancel()
        await asyncio.wait(unfinished)


async def settled(runs: Runs) -> None:
    """Wait until all runs that are being stored or cancelled are."""
    await asyncio.gather(runs.starter.drain(), runs.canceller.drain())


def proto_services(core: Core) -> list[RpcService]:
    """Return the proto services of this process."""
    stores, stats, reports = (
        StoreServicer(core.stores),
        StatsServicer(stats=core.stats, exports=core.exports, creators=core.creators),
        ReportServicer(core.reports),
    )
    sync = SyncServicer(runs=core.runs, stats=core.stats, schedule=core.schedule, budget=core.budget)
    names = sync_pb2.DESCRIPTOR.services_by_name
    return [
        RpcService(
            name=names["StoreService"].full_name,
            register=lambda server: sync_pb2_grpc.add_StoreServiceServicer_to_server(stores, server),
        ),
        RpcService(
            name=names["StatsService"].full_name,
            register=lambda server: sync_pb2_grpc.add_StatsServiceServicer_to_server(stats, server),
        ),
        RpcService(
            name=report_pb2.DESCRIPTOR.services_by_name["ReportService"].full_name,
            register=lambda server: report_pb2_grpc.add_ReportServiceServicer_to_server(reports, server),
        ),
        RpcService(
            name=names["SyncService"].full_name,
            register=lambda server: sync_pb2_grpc.add_SyncServiceServicer_to_server(sync, server),
            end_streams=core.runs.watch.close,
        ),
    ]


def main() -> None:
    """Run the service; wrong settings end it with status 78 and one line, a database that stays away with 75."""
    migrate_instead(SCHEMA, prepare_schema)
    settings = load(SyncSettings)
    try:
        configure_signals("sync", settings)
        run(lambda stop: once_usable(lambda: serve(settings, stop), stop))
    except (ServerMisconfig, StorageUnavailable) as error:
        sys.stderr.write(f"tokhub sync service cannot start: {error}\n")
        sys.exit(EX_TEMPFAIL if isinstance(error, StorageUnavailable) else EX_CONFIG)


if __name__ == "__main__":
    main()
