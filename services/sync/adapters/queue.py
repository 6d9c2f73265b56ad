"""PgQueuer brings items to workers, at least once; which delivery counts is decided by the items' fences."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import anyio
import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job as QueuedJob
from pgqueuer.ports.driver import Driver
from pydantic_core import from_json

from libs.database.pool import Borrowed, Pool, PoolLimits, open_pool
from libs.errors import StorageUnavailable
from libs.rpc.request_id import bind_request_id
from libs.tracing import carried, carrier_in, span
from libs.waiting import wait_at_most
from services.sync.adapters.queue_schema import queue_settings
from services.sync.adapters.stock import Stock, StockedQueueManager
from services.sync.core.places import MOST_URGENT
from services.sync.domain.items import ItemKey
from services.sync.domain.jobs import Job
from services.sync.domain.subjects import Subject, SubjectKind

# A dead worker's jobs are delivered again after the one plus the other.
HEARTBEAT_TIMEOUT = timedelta(seconds=6)
BEAT_EVERY = HEARTBEAT_TIMEOUT / 4
DEQUEUE_TIMEOUT = timedelta(seconds=1)
BATCH = 100  # jobs a dequeue; finished ones are reported after 0.1 s or in batches of this size
OFF = timedelta(0)  # PgQueuer's own statistics: ours are in sync_runs
RESTART_AFTER = 1.0  # seconds
CONNECTIONS = PoolLimits(min_size=2, max_size=4)

URGENT, USUAL = 1, 0
URGENT_LANE = "/urgent"  # jobs that a person waits for are taken from the queue apart

Work = Callable[[ItemKey], Awaitable[float | None]]
log = structlog.get_logger()


def queries_over(driver: Driver) -> Queries:
    """Return PgQueuer's queries, in our schema whatever the environment says."""
    settings = queue_settings()
    return Queries(
        driver,
        qbe=QueryBuilderEnvironment(settings),
        qbq=QueryQueueBuilder(settings),
        qbs=QuerySchedulerBuilder(settings),
    )


def job_name_of(key: ItemKey) -> str:
    """Return the one name an item's job has: while a job of this name is queued or at work, there is no second."""
    return f"{key.run_id}/{key.job}/{key.subject.kind}/{key.subject.id}"


def to_payload(key: ItemKey) -> bytes:
    """Return what a job says about its item, and its trace if there is one; the job's entrypoint says the rest."""
    return json.dumps({"run_id": key.run_id, "kind": key.subject.kind, "id": key.subject.id, **carried()}).encode()


def to_key(entrypoint: str, content: Mapping[str, str]) -> ItemKey:
    """Return the item of a job with this content."""
    name = entrypoint.removesuffix(URGENT_LANE)
    return ItemKey(content["run_id"], Job(name), Subject(SubjectKind(content["kind"]), content["id"]))


class JobQueue:
    """Adds jobs."""

    async def enqueue(self, connection: Borrowed, keys: Sequence[ItemKey], *, is_urgent: bool) -> None:
        """Add a job for each item that has none, within the connection's transaction."""
        if not keys:
            return
        lane = URGENT_LANE if is_urgent else ""
        # A borrowed connection has the methods of a connection, but is not one to the type checker.
        await queries_over(AsyncpgDriver(connection)).enqueue(  # type: ignore[arg-type]
            [f"{key.job}{lane}" for key in keys],
            [to_payload(key) for key in keys],
            [URGENT if is_urgent else USUAL] * len(keys),
            dedupe_key=[job_name_of(key) for key in keys],
            on_conflict="skip",
        )


def by_entrypoint(limits: Mapping[Job, int]) -> Mapping[str, int]:
    """Return how many calls of each job may be under way, by PgQueuer's name for it."""
    urgent = {f"{job}{URGENT_LANE}": min(limit, MOST_URGENT) for job, limit in limits.items()}
    return {**urgent, **{job.value: limit for job, limit in limits.items()}}


class QueueConsumer:
    """Takes jobs and has them worked on, until it is told to stop; what then is at work is waited for."""

    def __init__(self, *, dsn: str, work: Work, limits: Mapping[Job, int], stop: asyncio.Event) -> None:
        self._dsn = dsn
        self._work = work
        self._limits = limits
        self._stop = stop

    async def run(self) -> None:
        """Consume; an unusable database only interrupts."""
        while not self._stop.is_set():
            try:
                async with open_pool(self._dsn, application="tokhub-sync-queue", limits=CONNECTIONS) as pool:
                    await self._consume(pool)
            except Exception as error:  # noqa: BLE001 - PgQueuer ends with whatever its connection raised
                log.warning("The queue was interrupted", error=type(error).__name__)
                await wait_at_most(self._stop, RESTART_AFTER)

    async def _consume(self, pool: Pool) -> None:
        stock = Stock(by_entrypoint(self._limits))
        manager = StockedQueueManager(queries_over(AsyncpgPoolDriver(pool)), queue_settings().channel)
        manager.stock = stock
        # PgQueuer makes one for each job, and the first one imports all that is behind it: no job should wait for that.
        anyio.CancelScope()
        for entrypoint in stock.names:
            manager.entrypoint(entrypoint, accepts_context=False)(partial(self._handle, stock))
        beating = asyncio.create_task(manager.beat(BEAT_EVERY))
        stopping = asyncio.create_task(forward(self._stop, manager.shutdown))
        try:
            await manager.run(
                dequeue_timeout=DEQUEUE_TIMEOUT,
                batch_size=BATCH,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                log_aggregation_interval=OFF,
                shutdown_on_listener_failure=True,
            )
        finally:
            stopping.cancel()
            beating.cancel()

    async def _handle(self, stock: Stock, job: QueuedJob) -> None:
        if self._stop.is_set():
            raise RetryRequested(OFF)
        content = from_json(job.payload or b"{}")
        key = to_key(job.entrypoint, content)
        # Calls to the token service carry the run's id into its log.
        bind_request_id(key.run_id)
        with stock.hold(job.entrypoint), span(f"item {key.job}", context=carrier_in(content)):
            try:
                again_in = await self._work(key)
            except StorageUnavailable as error:
                again_in = error.retry_after
        if again_in is not None:
            raise RetryRequested(timedelta(seconds=again_in))


async def forward(source: asyncio.Event, target: asyncio.Event) -> None:
    """Set the target once the source is set."""
    await source.wait()
    target.set()
