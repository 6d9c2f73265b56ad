"""How late a thousand watchers of one run hear of it while one of them reads nothing for a minute."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles

from tokhub.sync.v1 import sync_pb2

from benchmarks.figures import Figure, at_most
from benchmarks.ground import Ground
from benchmarks.processes import ask
from benchmarks.sync_lab import Replica, SyncLab, check, sync_lab
from benchmarks.watch_load import Heard, Plan
from libs.database.pool import open_pool
from services.sync.__main__ import SCHEMA

STORES = 800
LATENCY_MS, AT_ONCE = "1000", "10"  # ten stores a second
PROCESSES, STREAMS = 4, 250
REST = 60.0  # seconds
WIDE, NARROW = 1 << 20, 65_535  # bytes: of windows that never fill, and of one that is full soon
UNLIMITED = "1000000"
MOST_GROWTH = 100.0  # megabytes: 0.1 a watcher
ENDED = "SELECT ended_sequence, extract(epoch FROM ended_at)::float8 AS at FROM sync_items ORDER BY ended_sequence"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What was seen."""

    delays: Sequence[float]
    spreads: Sequence[float]  # from the first of the watchers who hears of a change to the last
    messages: int
    before: float  # megabytes of the service with the run at work and nobody watching
    most: float
    cpu: float  # share of a processor


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return how late the others were, and what the service needed."""
    async with sync_lab(ground, "watchers", rate_limit=UNLIMITED, latency_user_ms=LATENCY_MS) as lab:
        await lab.add_stores(STORES)
        seen = await watched(lab, lab.replica(TIKTOK_RATE_LIMIT_PER_MINUTE=UNLIMITED, SYNC_CONCURRENCY=AT_ONCE))
    watchers = PROCESSES * STREAMS
    return (
        Figure(name=f"{watchers:,} others: the latest of all", unit="s", rounds=[max(seen.delays)], limit=at_most(1.0)),
        Figure(name="one in a hundred is later than", unit="s", rounds=[quantiles(seen.delays, n=100)[98]]),
        Figure(name="one in two is later than", unit="s", rounds=[quantiles(seen.delays, n=2)[0]]),
        Figure(name="from the first who hears to the last, at most", unit="s", rounds=[max(seen.spreads)]),
        Figure(name="messages to a watcher", unit="messages", rounds=[seen.messages / watchers]),
        Figure(
            name="memory for all watchers, at most",
            unit="MB",
            rounds=[seen.most - seen.before],
            limit=at_most(MOST_GROWTH),
        ),
        Figure(name="the service's share of a processor", unit="", rounds=[seen.cpu]),
    )


async def watched(lab: SyncLab, replica: Replica) -> Scene:
    """Watch one run with all streams, one of which stops reading."""
    run_id = await replica.start(sync_pb2.JOB_USER)
    await asyncio.sleep(2)
    before, cpu, began = replica.program.peak_memory, replica.program.cpu_seconds, time.perf_counter()
    plans = [Plan(port=replica.port, run_id=run_id, streams=STREAMS, window=WIDE)] * PROCESSES
    plans.append(Plan(port=replica.port, run_id=run_id, streams=1, window=NARROW, rest=REST))
    heard = await asyncio.gather(*(asyncio.to_thread(ask, "benchmarks.watch_load", asdict(plan)) for plan in plans))
    check(await replica.end_of(run_id), STORES)
    others = [stream for process in heard[:-1] for stream in process]
    if len(others) != PROCESSES * STREAMS or heard[-1][0][-1][0] < STORES:
        raise RuntimeError("a watcher was not told how the run ended")
    all_joined = max(stream[0][1] for stream in others)
    changes = [(change, at) for change, at in await ended(lab) if at > all_joined]
    heard_at = [times(stream, changes) for stream in others]
    return Scene(
        delays=[at - changed for stream in heard_at for at, (_, changed) in zip(stream, changes, strict=True)],
        spreads=[max(of_all) - min(of_all) for of_all in zip(*heard_at, strict=True)],
        messages=sum(map(len, others)),
        before=before,
        most=replica.program.peak_memory,
        cpu=(replica.program.cpu_seconds - cpu) / (time.perf_counter() - began),
    )


async def ended(lab: SyncLab) -> Sequence[tuple[int, float]]:
    """Return the changes of the run at which stores ended, and when that was."""
    async with open_pool(lab.database.dsn.reveal(), application="benchmark", schema=SCHEMA) as pool:
        return [(row["ended_sequence"], row["at"]) for row in await pool.fetch(ENDED)]


def times(stream: Heard, changes: Sequence[tuple[int, float]]) -> Sequence[float]:
    """Return when the stream heard of each change."""
    messages, found = iter(stream), []
    sequence, heard_at = next(messages)
    for change, _ in changes:
        while sequence < change:
            sequence, heard_at = next(messages)
        found.append(heard_at)
    return found
