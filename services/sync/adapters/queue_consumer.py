"""Has the queue's items worked on, at least once each; which delivery counts is decided by the items' fences."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import anyio
import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job as QueuedJob
from pydantic_core import from_json

from libs.clock import SystemClock
from libs.database.pool import Pool, PoolLimits, open_pool
from libs.errors import StorageUnavailable
from libs.rpc.request_id import bind_request_id
from libs.tracing import carried_on, carrier_in, span
from libs.waiting import wait_at_most
from services.sync.adapters.queue import add, queries_over
from services.sync.adapters.queue_schema import queue_settings
from services.sync.adapters.queued_jobs import alone, intakes, to_keys
from services.sync.adapters.stock import Stock, StockedQueueManager
from services.sync.domain.items import ItemKey
from services.sync.domain.jobs import Job

# A dead worker's jobs are delivered again after the one plus the other.
HEARTBEAT_TIMEOUT = timedelta(seconds=6)
BEAT_EVERY = HEARTBEAT_TIMEOUT / 4
DEQUEUE_TIMEOUT = timedelta(seconds=1)
BATCH = 100  # jobs a dequeue; finished ones are reported after 0.1 s or in batches of this size
OFF = timedelta(0)  # PgQueuer's own statistics: ours are in sync_runs
RESTART_AFTER, AGAIN_AFTER = 1.0, 1.0  # seconds
CONNECTIONS = PoolLimits(min_size=2, max_size=4)

Work = Callable[[ItemKey], Awaitable[float | None]]
log = structlog.get_logger()


@dataclass(frozen=True)
class Delivery:
    """What a job brings, and what carries the trace it belongs to."""

    entrypoint: str
    keys: Sequence[ItemKey]
    trace: Mapping[str, str]

    @classmethod
    def of(cls, job: QueuedJob) -> "Delivery":
        """Read a job."""
        content = from_json(job.payload or b"{}")
        return cls(job.entrypoint, to_keys(job.entrypoint, content), carried_on(content))


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
        stock = Stock(intakes(self._limits), SystemClock())
        manager = StockedQueueManager(queries_over(AsyncpgPoolDriver(pool)), queue_settings().channel)
        manager.stock = stock
        # PgQueuer makes one for each job, and the first one imports all that is behind it: no job should wait for that.
        anyio.CancelScope()
        for entrypoint in stock.names:
            manager.entrypoint(entrypoint, accepts_context=False)(partial(self._handle, manager))
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

    async def _handle(self, manager: StockedQueueManager, job: QueuedJob) -> None:
        if self._stop.is_set():
            raise RetryRequested(OFF)
        delivery = Delivery.of(job)
        manager.stock.arrive(job.entrypoint, len(delivery.keys))
        # Calls to the token service carry the run's id into its log.
        bind_request_id(delivery.keys[0].run_id)
        if len(delivery.keys) == 1:
            again_in = await self._attempt(manager.stock, delivery, delivery.keys[0])
        else:
            again_in = await self._attempt_together(manager, delivery)
        if again_in is not None:
            raise RetryRequested(timedelta(seconds=again_in))

    async def _attempt(self, stock: Stock, delivery: Delivery, key: ItemKey) -> float | None:
        try:
            with span(f"item {key.job}", context=carrier_in(delivery.trace)):
                return await self._work(key)
        except StorageUnavailable as error:
            return error.retry_after
        finally:
            stock.leave(delivery.entrypoint)

    async def _attempt_together(self, manager: StockedQueueManager, delivery: Delivery) -> float | None:
        """Return when to bring the items once more, if one of them could neither end nor leave."""
        attempts = (self._end_or_leave(manager, delivery, key) for key in delivery.keys)
        errors = await asyncio.gather(*attempts, return_exceptions=True)
        failed = [(key, error) for key, error in zip(delivery.keys, errors, strict=True) if error]
        if not failed:
            return None
        key, error = failed[0]
        log.warning("Items are brought once more", job=key.job, subject=key.subject.id, exc_info=error)
        return AGAIN_AFTER

    async def _end_or_leave(self, manager: StockedQueueManager, delivery: Delivery, key: ItemKey) -> None:
        """Work on one of several; if it has to wait, it does so in a job of its own and not for the others."""
        again_in = await self._attempt(manager.stock, delivery, key)
        if again_in is not None:
            own = alone(key, trace=delivery.trace, is_urgent=False)
            await add(manager.queries, [own], after=timedelta(seconds=again_in))


async def forward(source: asyncio.Event, target: asyncio.Event) -> None:
    """Set the target once the source is set."""
    await source.wait()
    target.set()
