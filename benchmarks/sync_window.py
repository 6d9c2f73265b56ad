"""How well TikTok's window is used: 300 stores of ten pages each at 600 calls a window, in compressed time."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from tokhub.sync.v1 import sync_pb2

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.ground import Ground
from benchmarks.sync_lab import SyncLab, check, sync_lab
from services.sync.domain.rate_limit import RateLimit

STORES, PAGES, PAGE = 300, 10, 20
LIMIT = RateLimit(window=30.0, interactive_share=0.0)  # TikTok's 60 seconds, twice as fast
LATENCY = 0.02  # seconds a call takes
PLACES = 60  # stores at work, over all replicas
JITTER = 0.8  # calls that leave a while apart arrive a little closer together, or further apart


@dataclass(frozen=True, kw_only=True)
class Case:
    """So many sync services share the budget; one of them dies in the middle and is started again, or none does."""

    name: str
    replicas: int
    restart: bool = False

    @property
    def settings(self) -> Mapping[str, str]:
        """What each of the services is told."""
        return {
            "TIKTOK_RATE_WINDOW_SECONDS": str(LIMIT.window),
            "TIKTOK_INTERACTIVE_SHARE": str(LIMIT.interactive_share),
            "VIDEO_SYNC_CONCURRENCY": str(PLACES // self.replicas),
        }


CASES = (
    Case(name="one", replicas=1),
    Case(name="three", replicas=3),
    Case(name="three, one killed", replicas=3, restart=True),
)


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return how long each case took, and what TikTok saw of it."""
    return [figure for number, case in enumerate(CASES) for figure in await figures(ground, f"window_{number}", case)]


async def figures(ground: Ground, name: str, case: Case) -> Sequence[Figure]:
    """Sync the videos of all stores once."""
    sandbox = {
        "rate_limit": str(LIMIT.calls),
        "rate_window_seconds": str(LIMIT.window),
        "latency_video_ms": str(round(LATENCY * 1_000)),
        "videos": str(PAGES * PAGE),
        "ledger_events": "100000",
    }
    async with sync_lab(ground, name, **sandbox) as lab:
        await lab.add_stores(STORES)
        seconds = await run(lab, case)
        return told(case, lab, seconds)


async def run(lab: SyncLab, case: Case) -> float:
    """Return how long the run took."""
    replicas = [lab.replica(**case.settings) for _ in range(case.replicas)]
    began = time.perf_counter()
    run_id = await replicas[0].start(sync_pb2.JOB_VIDEO)
    if case.restart:
        # Where a window has just cleared, and many calls are on their way.
        await asyncio.sleep(2 * LIMIT.window + 1.0)
        replicas[-1].kill()
        await asyncio.to_thread(lab.replica, **case.settings)
    check(await replicas[0].end_of(run_id), STORES)
    return time.perf_counter() - began


def told(case: Case, lab: SyncLab, seconds: float) -> Sequence[Figure]:
    """Return the figures of one run."""
    calls, refused = lab.ledger()["calls"]["video_list"], lab.ledger()["rate_limited"]
    least = LIMIT.window * (ceil(calls / LIMIT.calls) - 1) + PAGES * LATENCY
    return (
        Figure(
            name=f"{case.name}: {calls:,} calls",
            unit="s",
            rounds=[seconds],
            floor="the least that the window allows",
            floors=[least],
            limit=None if case.restart else at_most(1.1),
        ),
        Figure(name=f"{case.name}: answers 429", unit="calls", rounds=[refused], limit=at_most(0)),
        Figure(
            name=f"{case.name}: shortest gap between pages of an account",
            unit="s",
            rounds=[shortest_gap(lab)],
            floor="the spacing that is promised",
            floors=[LIMIT.page_spacing],
            limit=None if case.restart else at_least(JITTER),
        ),
    )


def shortest_gap(lab: SyncLab) -> float:
    """Return the shortest time between two answers to calls for one account."""
    last: dict[str, datetime] = {}
    gaps = []
    for call in lab.calls("video_list"):
        at = datetime.fromisoformat(call["at"])
        if call["open_id"] in last:
            gaps.append((at - last[call["open_id"]]).total_seconds())
        last[call["open_id"]] = at
    return min(gaps)
