"""What a store costs a sync service, and how much memory that takes, with few stores and with many."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tokhub.sync.v1 import sync_pb2

from benchmarks.figures import Figure, Limit, at_most
from benchmarks.ground import Ground
from benchmarks.sync_lab import sync_lab

FEW = 3_000
USUAL, FULL = (10_000,), (10_000, 100_000)
UNLIMITED = "1000000"
NO_MORE = at_most(1.2)  # of what it is with few


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run over so many stores cost."""

    stores: int
    start: float  # seconds until StartSync answered
    seconds: float
    service: float  # seconds of the sync service's processor
    database: float  # seconds of PostgreSQL's processors
    memory: float  # megabytes, at most

    @property
    def rate(self) -> float:
        """Stores a second."""
        return self.stores / self.seconds


async def measure(ground: Ground) -> Sequence[Figure]:
    """Compare 10,000 stores with 3,000."""
    return await compared(ground, USUAL)


async def measure_full(ground: Ground) -> Sequence[Figure]:
    """Compare 10,000 and 100,000 stores with 3,000: about a quarter of an hour on a free machine."""
    return await compared(ground, FULL)


async def compared(ground: Ground, sizes: Sequence[int]) -> Sequence[Figure]:
    """Return the figures of every size, the first of which is what the others are held against."""
    few = await cost(ground, FEW)
    told = [*figures(few, few, None)]
    for stores in sizes:
        told += figures(await cost(ground, stores), few, NO_MORE)
    return told


async def cost(ground: Ground, stores: int) -> Cost:
    """Sync the accounts of all stores, whose tokens are fresh: one call a store."""
    async with sync_lab(ground, f"scale_{stores}", rate_limit=UNLIMITED, videos="20") as lab:
        await lab.add_stores(stores)
        replica = lab.replica(TIKTOK_RATE_LIMIT_PER_MINUTE=UNLIMITED)
        service, database, began = replica.program.cpu_seconds, ground.database_cpu_seconds, time.perf_counter()
        run = await replica.start(sync_pb2.JOB_USER)
        start = time.perf_counter() - began
        await replica.finish(run, stores)
        return Cost(
            stores=stores,
            start=start,
            seconds=time.perf_counter() - began,
            service=replica.program.cpu_seconds - service,
            database=ground.database_cpu_seconds - database,
            memory=replica.program.peak_memory,
        )


def figures(one: Cost, few: Cost, limit: Limit | None) -> Sequence[Figure]:
    """Return what a store cost, beside what it cost with few."""
    with_few = {"floor": f"{few.stores:,} stores"}
    name = f"{one.stores:,} stores"
    return (
        Figure(name=f"{name}: until the run is stored", unit="s", rounds=[one.start]),
        Figure(name=f"{name}: speed", unit="stores/s", rounds=[one.rate]),
        Figure(
            name=f"{name}: CPU of the service for a store",
            unit="ms",
            rounds=[one.service / one.stores * 1e3],
            floors=[few.service / few.stores * 1e3],
            limit=limit,
            **with_few,
        ),
        Figure(
            name=f"{name}: CPU of the database for a store",
            unit="ms",
            rounds=[one.database / one.stores * 1e3],
            floors=[few.database / few.stores * 1e3],
            limit=limit,
            **with_few,
        ),
        Figure(
            name=f"{name}: memory of the service, at most",
            unit="MB",
            rounds=[one.memory],
            floors=[few.memory],
            limit=limit,
            **with_few,
        ),
    )
