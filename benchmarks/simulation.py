"""A run over a million stores, in the parts that fit one machine: storing, queue, budget, snapshots; no TikTok."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from benchmarks.figures import Figure
from benchmarks.ground import Ground
from libs.clock import SystemClock
from libs.database.migrations import migrate
from libs.database.pool import PoolLimits, open_pool
from libs.secret import Secret
from libs.tiktok.display_objects import Account, VideoPage
from services.sync.__main__ import MIGRATIONS, SCHEMA
from services.sync.adapters.budget import SharedBudget
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.item_rows import ItemRows
from services.sync.adapters.postgres.partitions import Partitions
from services.sync.adapters.postgres.run_creation import RunCreation
from services.sync.adapters.postgres.run_rows import RunRows
from services.sync.adapters.postgres.slot_log import SlotLog
from services.sync.adapters.postgres.snapshot_writes import SnapshotWrites
from services.sync.adapters.queue import JobQueue
from services.sync.adapters.queue_consumer import QueueConsumer
from services.sync.core.account_calls import PROFILE_SCOPE, USER_SCOPES, AccountCalls, Endpoint
from services.sync.core.circuit import Circuit
from services.sync.core.jobs import UserJob
from services.sync.core.places import Places
from services.sync.core.upstream_gate import UpstreamGate
from services.sync.core.work_item import FailureRule, ItemWorker
from services.sync.domain.jobs import Job
from services.sync.domain.links import ConnectLinks
from services.sync.domain.progress import Tally
from services.sync.domain.rate_limit import Lane, RateLimit
from services.sync.domain.retry import RetryRule
from services.sync.domain.runs import PlannedItem, RunPlan, Scope
from services.sync.domain.subjects import Subject
from services.sync.domain.tokens import AccessToken

FEW, MANY = 10_000, 1_000_000
PORTION = 1_000  # stores, as the token service lists them
SAMPLE = 9_000  # stores that are synced of each run
AT_WORK = 200
SLOTS = 20_000
LIMIT = RateLimit(calls=10_000_000, interactive_share=0.0)
LIMITS = PoolLimits(min_size=2, max_size=20, statement_timeout=15.0)
TOKEN = AccessToken(Secret("simulated"), 1, USER_SCOPES | {PROFILE_SCOPE})
ACCOUNT = Account(open_id="simulated", follower_count=1, following_count=2, likes_count=3, video_count=4)
NO_VIDEOS = VideoPage(videos=(), cursor=None, has_more=False)
NOW = datetime.now(UTC)

ADD_STORES = """
INSERT INTO stores (store_code, store_name, pic_name)
SELECT 'store_' || number, 'simulated', 'simulated' FROM generate_series($1::int, $2::int) AS number
"""
# What stands in the partition already, so that every index is as deep as it would be.
ADD_YESTERDAYS = """
INSERT INTO tiktok_user_daily (subject_kind, subject_id, snapshot_date, follower_count, fetched_at)
SELECT 'store', 'store_' || number, $3::date - 1, 1, now() FROM generate_series($1::int, $2::int) AS number
"""
FILL = 20_000  # rows a statement


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds that something took, in all and of this process's and the database's processors."""

    seconds: float
    own: float
    database: float

    def of_each(self, number: int) -> tuple[float, float]:
        """Return milliseconds of the processors for one of so many."""
        return self.own / number * 1e3, self.database / number * 1e3


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of a run over so many stores."""

    stores: int
    stored: Cost
    memory: float  # megabytes that storing it took
    synced: Cost
    slots: Cost


class Stopwatch:
    """Tells what has passed since it was made."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._began = self._now()

    def stop(self) -> Cost:
        """Return what it has cost."""
        seconds, own, database = (now - then for now, then in zip(self._now(), self._began, strict=True))
        return Cost(seconds=seconds, own=own, database=database)

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), self._ground.database_cpu_seconds


class Simulated:
    """Tokens and a TikTok that answer at once."""

    async def valid(self, _subject: Subject) -> AccessToken:
        """Return the one token."""
        return TOKEN

    async def replacing(self, _subject: Subject, _generation: int) -> AccessToken:
        """Return the one token."""
        return TOKEN

    async def user_info(self, _token: Secret, *, with_profile: bool) -> Account:
        """Return the one account."""
        return ACCOUNT if with_profile else Account()

    async def video_page(self, _token: Secret, _cursor: int | None) -> VideoPage:
        """Return no videos."""
        return NO_VIDEOS


class Sample:
    """Sets an event when so many items have ended."""

    def __init__(self, size: int) -> None:
        self._left = size
        self.done = asyncio.Event()

    def note(self, _tally: Tally) -> None:
        """Count an item."""
        self._left -= 1
        if not self._left:
            self.done.set()


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return what a store costs in a run over a million of them, beside one over ten thousand."""
    few, many = await simulated(ground, FEW), await simulated(ground, MANY)
    return [*figures(few, few), *figures(many, few)]


async def simulated(ground: Ground, stores: int) -> Seen:
    """Store a run, and sync a part of it."""
    name = f"simulation_{stores}"
    dsn = (await ground.database(name)).dsn.reveal()
    await migrate(dsn, MIGRATIONS, SCHEMA)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(dsn, application=name, schema=SCHEMA, limits=LIMITS))
        database = Database(pool)
        await Partitions(database).prepare(NOW.date())
        await fill(database, stores)
        budget = SharedBudget(log=SlotLog(database=database, limit=LIMIT), clock=SystemClock())
        stack.push_async_callback(budget.close)
        memory, watch = resident(), Stopwatch(ground)
        await store(database, stores)
        stored, memory = watch.stop(), resident() - memory
        synced = await sync(Stopwatch(ground), dsn, database, budget)
        slots = await take_slots(Stopwatch(ground), budget)
    return Seen(stores=stores, stored=stored, memory=memory, synced=synced, slots=slots)


async def fill(database: Database, stores: int) -> None:
    """Add stores and their snapshots of the day before."""
    for first in range(1, stores + 1, FILL):
        async with database.borrow() as connection:
            await connection.execute(ADD_STORES, first, min(first + FILL - 1, stores))
            await connection.execute(ADD_YESTERDAYS, first, min(first + FILL - 1, stores), NOW.date())


async def store(database: Database, stores: int) -> None:
    """Store a run over the accounts of all stores."""
    plan = RunPlan(
        scope=Scope(Job.USER, None), idempotency_key=None, snapshot_date=NOW.date(), portions=portions(stores)
    )
    await RunCreation(database=database, runs=RunRows(database), queue=JobQueue()).create(plan)


async def portions(stores: int) -> AsyncIterator[tuple[PlannedItem, ...]]:
    """Yield the items of the run."""
    for first in range(1, stores + 1, PORTION):
        codes = (f"store_{number}" for number in range(first, min(first + PORTION, stores + 1)))
        yield tuple(PlannedItem(job=Job.USER, subject=Subject.store(code)) for code in codes)


async def sync(watch: Stopwatch, dsn: str, database: Database, budget: SharedBudget) -> Cost:
    """Take items out of the queue and sync them, until a sample of them has ended."""
    sample, stop, clock, tiktok = Sample(SAMPLE), asyncio.Event(), SystemClock(), Simulated()
    limits = {Job.USER: AT_WORK}
    gate = UpstreamGate(circuit=Circuit(clock), budget=budget)
    accounts = AccountCalls(tokens=tiktok, places=Places(limits), gate=gate, display=tiktok, clock=clock)
    worker = ItemWorker(
        items=ItemRows(database),
        jobs={Job.USER: UserJob(accounts=accounts, snapshots=SnapshotWrites(database))},
        failures=FailureRule(retry=RetryRule(), links=ConnectLinks("http://simulated"), draw=random.random),
        progress=sample,
    )
    consuming = asyncio.create_task(QueueConsumer(dsn=dsn, work=worker.work, limits=limits, stop=stop).run())
    await sample.done.wait()
    cost = watch.stop()
    stop.set()
    await consuming
    return cost


async def take_slots(watch: Stopwatch, budget: SharedBudget) -> Cost:
    """Take slots of the budget and give them back, many at once."""
    remaining = iter(range(SLOTS))

    async def take() -> None:
        for _ in remaining:
            async with budget.slot(Endpoint.USER_INFO, Lane.BULK):
                pass

    await asyncio.gather(*(take() for _ in range(AT_WORK)))
    return watch.stop()


def resident() -> float:
    """Return the megabytes that this process has in memory."""
    return float(psutil.Process(os.getpid()).memory_info().rss) / 1e6


def figures(one: Seen, few: Seen) -> Sequence[Figure]:
    """Return what was seen, beside what was seen with few."""
    name, floor = f"{one.stores:,} stores", f"{few.stores:,} stores"
    own, database = one.synced.of_each(SAMPLE)
    few_own, few_database = few.synced.of_each(SAMPLE)
    return (
        Figure(name=f"{name}: storing the run", unit="stores/s", rounds=[one.stores / one.stored.seconds]),
        Figure(name=f"{name}: memory for storing it", unit="MB", rounds=[max(one.memory, 0.0)]),
        Figure(name=f"{name}: syncing", unit="stores/s", rounds=[SAMPLE / one.synced.seconds]),
        Figure(
            name=f"{name}: CPU of the service for a sync",
            unit="ms",
            rounds=[own],
            floor=floor,
            floors=[few_own],
        ),
        Figure(
            name=f"{name}: CPU of the database for a sync",
            unit="ms",
            rounds=[database],
            floor=floor,
            floors=[few_database],
        ),
        Figure(name=f"{name}: slots of the budget", unit="slots/s", rounds=[SLOTS / one.slots.seconds]),
    )
