"""How near RefreshAll comes to what its concurrency and the provider's latency allow, and what memory it takes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.ground import Database, Ground
from benchmarks.service import Service, Shop, age, running_service, running_shop

SMALL, LARGE = 1_000, 10_000
ROUNDS = 3
SMALL_TEAM, REST = 2, 3
DELAY = 0.1  # seconds the provider takes
CONCURRENCY = 20
WARM = 0.1  # share of a run after which memory is to stay
LOOK_EVERY = 0.1  # seconds
LEFT = 3600.0  # seconds of the tokens' lives: due, and still usable


@dataclass(kw_only=True)
class Run:
    """One RefreshAll in a process of its own; memory is in megabytes, from before it to its end."""

    size: int
    seconds: float = 0.0
    cpu: float = 0.0
    calls: int = 0
    memory: list[float] = field(default_factory=list)

    @property
    def warm(self) -> float:
        """Memory when the run was under way."""
        return self.memory[max(round(len(self.memory) * WARM), 1)]


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return the speed of large runs, and the memory of small and large ones."""
    database = await ground.database("refresh_all")
    with running_shop(ground, delay=DELAY) as shop:
        imported = await take_in(ground, database, shop)
        runs = [[await run(ground, database, shop, size) for size in (SMALL, LARGE)] for _ in range(ROUNDS)]
    small, large = zip(*runs, strict=True)
    return [imported, *speed(large), *memory(small, large)]


async def take_in(ground: Ground, database: Database, shop: Shop) -> Figure:
    """Import all connections, the small team's first."""
    async with running_service(ground, ground.settings(database, shop.url)) as service:
        began = time.perf_counter()
        await service.take_in(range(SMALL), SMALL_TEAM)
        await service.take_in(range(SMALL, LARGE), REST)
        return Figure(name="imports", unit="per second", rounds=[LARGE / (time.perf_counter() - began)])


async def run(ground: Ground, database: Database, shop: Shop, size: int) -> Run:
    """Refresh so many connections, all of them due."""
    await age(database, LEFT)
    settings = ground.settings(database, shop.url, REFRESH_CONCURRENCY=str(CONCURRENCY))
    found, before = Run(size=size), shop.counts()
    async with running_service(ground, settings) as service, watching(service, found):
        began, cpu = time.perf_counter(), service.program.cpu_seconds
        summary = await service.refresh_all(SMALL_TEAM if size == SMALL else None)
        found.seconds, found.cpu = time.perf_counter() - began, service.program.cpu_seconds - cpu
    if summary.refreshed != size:
        raise RuntimeError(f"{summary.refreshed} of {size} connections were refreshed")
    after = shop.counts()
    found.calls = sum(after[name] - before[name] for name in ("refreshed", "refused"))
    return found


@asynccontextmanager
async def watching(service: Service, found: Run) -> AsyncIterator[None]:
    """Note the memory of a service now and again."""

    async def watch() -> None:
        while True:
            found.memory.append(service.program.memory)
            await asyncio.sleep(LOOK_EVERY)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()


def speed(large: Sequence[Run]) -> Sequence[Figure]:
    """Return how fast the large runs were, and that they asked once for each connection."""
    calls = [run.calls / run.size for run in large]
    return (
        Figure(
            name=f"refreshes of {LARGE:,} connections",
            unit="per second",
            rounds=[run.size / run.seconds for run in large],
            floor=f"{CONCURRENCY} at once, {DELAY:g} s each",
            floors=[CONCURRENCY / DELAY for _ in large],
            limit=at_least(0.85),
        ),
        Figure(name="calls to the provider for each", unit="calls", rounds=calls, limit=at_most(1)),
        Figure(name="CPU of the service for each", unit="ms", rounds=[run.cpu / run.size * 1e3 for run in large]),
    )


def memory(small: Sequence[Run], large: Sequence[Run]) -> Sequence[Figure]:
    """Return memory at the start, at its peak and at the end, and against that of the small runs."""
    peaks, limit = [max(run.memory) for run in large], at_most(1.25)
    return (
        Figure(name="memory at the start", unit="MB", rounds=[run.memory[0] for run in large]),
        Figure(
            name="memory at its peak",
            unit="MB",
            rounds=peaks,
            limit=limit,
            floors=[run.warm for run in large],
            floor=f"memory after {WARM:.0%} of the run",
        ),
        Figure(name="memory at the end", unit="MB", rounds=[run.memory[-1] for run in large]),
        Figure(
            name=f"peak against {SMALL:,} connections",
            unit="MB",
            rounds=peaks,
            floor=f"peak with {SMALL:,} connections",
            floors=[max(run.memory) for run in small],
            limit=limit,
        ),
    )
