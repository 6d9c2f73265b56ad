"""What a call costs when nothing limits, with all rows written, beside a bare loop of the same HTTP client.

Beside airbyte-cdk and dlt too, where `make peers` has installed them. The one stores nothing; the other loads a DuckDB
and, unlike a sync, asks nobody for tokens, resumes nothing and tells nobody of its progress.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

import aiohttp
from tokhub.sync.v1 import sync_pb2

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.ground import Ground
from benchmarks.processes import ROOT, ask
from benchmarks.sync_lab import SyncLab, sync_lab
from libs.tiktok.display import PAGE_SIZE
from libs.tiktok.display_objects import BASIC_FIELDS, PROFILE_FIELDS, STATS_FIELDS, VIDEO_FIELDS

STORES = 1_000
CALLS = 2 * STORES
LATENCY_MS = "50"
UNLIMITED = "1000000"
FEW, MANY = 30, 200  # calls in flight
ROUNDS = 5
PEER_PYTHON = ROOT / "build" / "peers" / "bin" / "python"
PEER_WORKERS = 64
PEERS = {"airbyte-cdk": "nothing stored", "dlt": "rows in DuckDB"}
MODULES = {"airbyte-cdk": "benchmarks.peers.airbyte", "dlt": "benchmarks.peers.dlt"}
USER_FIELDS = (*BASIC_FIELDS, *STATS_FIELDS, *PROFILE_FIELDS)
Call = AbstractAsyncContextManager[aiohttp.ClientResponse]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds that all calls took, and seconds of the caller's processor."""

    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return CALLS / self.seconds

    @property
    def milliseconds(self) -> float:
        """Milliseconds of the processor for a call."""
        return self.cpu / CALLS * 1e3


@dataclass(frozen=True, kw_only=True)
class Round:
    """All who made the calls, one after the other."""

    bare: Cost
    ours: Cost
    peers: Mapping[str, Cost]


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return speed and cost with few and with many calls in flight."""
    few = [await measured(ground, f"calls_few_{number}", FEW) for number in range(ROUNDS)]
    many = [await measured(ground, f"calls_many_{number}", MANY) for number in range(ROUNDS)]
    return [*figures(FEW, few), *beside(many), *figures(MANY, many)]


async def measured(ground: Ground, name: str, in_flight: int) -> Round:
    """Make the calls bare, with many in flight as others do, and as a run that stores everything."""
    sandbox = {"rate_limit": UNLIMITED, "latency_user_ms": LATENCY_MS, "latency_video_ms": LATENCY_MS}
    async with sync_lab(ground, name, videos=str(PAGE_SIZE), **sandbox) as lab:
        tokens = await lab.add_stores(STORES)
        names = PEERS if in_flight == MANY and PEER_PYTHON.exists() else ()
        bare = await bare_loop(lab.tiktok, tokens, in_flight)
        peers = {name: peer(name, lab.tiktok, tokens) for name in names}
        return Round(bare=bare, peers=peers, ours=await run(lab, in_flight))


def figures(in_flight: int, rounds: Sequence[Round]) -> Sequence[Figure]:
    """Return what a run did and cost, beside the bare loop and each peer of the same round."""
    name = f"{in_flight} in flight: a run, all rows written"
    rate = Figure(name=name, unit="calls/s", rounds=[one.ours.rate for one in rounds])
    return (
        Figure(name=f"{in_flight} in flight: bare loop", unit="calls/s", rounds=[one.bare.rate for one in rounds]),
        rate,
        *(
            replace(
                rate,
                name=f"{name}, beside {peer}",
                floor=peer,
                floors=[one.peers[peer].rate for one in rounds],
                limit=at_least(1.0),
            )
            for peer in rounds[0].peers
        ),
        Figure(
            name=f"{in_flight} in flight: CPU of the service for a call",
            unit="ms",
            rounds=[one.ours.milliseconds for one in rounds],
            floor="the bare loop",
            floors=[one.bare.milliseconds for one in rounds],
            limit=at_most(2.5),
        ),
    )


def beside(rounds: Sequence[Round]) -> Sequence[Figure]:
    """Return what the same calls cost the peers."""
    return [
        Figure(name=f"{name}, {PEER_WORKERS} workers, {PEERS[name]}: {what}", unit=unit, rounds=values)
        for name in rounds[0].peers
        for what, unit, values in (
            ("calls", "calls/s", [one.peers[name].rate for one in rounds]),
            ("CPU for a call", "ms", [one.peers[name].milliseconds for one in rounds]),
        )
    ]


def peer(name: str, origin: str, tokens: Sequence[str]) -> Cost:
    """Make the same calls with a peer, which has to read all records."""
    task = {
        "origin": origin,
        "tokens": tokens,
        "workers": PEER_WORKERS,
        "user_fields": ",".join(USER_FIELDS),
        "video_fields": ",".join(VIDEO_FIELDS),
        "page_size": PAGE_SIZE,
    }
    took = ask(MODULES[name], task, str(PEER_PYTHON))
    if took["records"] != STORES * (1 + PAGE_SIZE):
        raise RuntimeError(f"{name} read {took['records']} records")
    return Cost(seconds=took["seconds"], cpu=took["cpu"])


async def run(lab: SyncLab, in_flight: int) -> Cost:
    """Sync users and videos of all stores at once."""
    half = str(in_flight // 2)
    replica = lab.replica(TIKTOK_RATE_LIMIT_PER_MINUTE=UNLIMITED, SYNC_CONCURRENCY=half, VIDEO_SYNC_CONCURRENCY=half)
    cpu, began = replica.program.cpu_seconds, time.perf_counter()
    await replica.complete(sync_pb2.JOB_ALL, STORES)
    return Cost(seconds=time.perf_counter() - began, cpu=replica.program.cpu_seconds - cpu)


async def bare_loop(origin: str, tokens: Sequence[str], in_flight: int) -> Cost:
    """Make the same calls and read their JSON."""
    remaining = iter(tokens)
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(origin, connector=connector) as session:

        async def work() -> None:
            for token in remaining:
                headers = {"Authorization": f"Bearer {token}"}
                for call in (user_call, video_call):
                    async with call(session, headers) as answer:
                        json.loads(await answer.read())

        cpu, began = time.process_time(), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        return Cost(seconds=time.perf_counter() - began, cpu=time.process_time() - cpu)


def user_call(session: aiohttp.ClientSession, headers: dict[str, str]) -> Call:
    """Ask for an account."""
    return session.get("/v2/user/info/", params={"fields": ",".join(USER_FIELDS)}, headers=headers)


def video_call(session: aiohttp.ClientSession, headers: dict[str, str]) -> Call:
    """Ask for a page of videos."""
    fields = {"fields": ",".join(VIDEO_FIELDS)}
    return session.post("/v2/video/list/", params=fields, headers=headers, json={"max_count": PAGE_SIZE})
