"""How long 300 stores take when TikTok is slow and sets no limit: 4 seconds for an account, 9 for a store's videos."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tokhub.sync.v1 import sync_pb2

from benchmarks.figures import Figure, at_most
from benchmarks.ground import Ground
from benchmarks.sync_lab import sync_lab

STORES, PAGES, PAGE = 300, 3, 20
ACCOUNT, VIDEOS = 4.0, 9.0  # seconds that TikTok takes for a store, as measured in production
UNLIMITED = "1000000"
BEFORE = 11 * 60.0  # seconds that the same took with 30 accounts and 20 stores' videos at once, batch by batch


@dataclass(frozen=True, kw_only=True)
class Case:
    """So many accounts and so many stores' videos at once."""

    accounts: int
    videos: int

    @property
    def least(self) -> float:
        """Seconds that it takes when no place is ever empty."""
        return max(STORES / self.accounts * ACCOUNT, STORES / self.videos * VIDEOS)


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return how long a run over users and videos took, with places for all and with few."""
    wide, narrow = Case(accounts=300, videos=300), Case(accounts=30, videos=20)
    seconds = await run(ground, "latency_wide", wide)
    slow = await run(ground, "latency_narrow", narrow)
    return (
        Figure(name="300 and 300 at once", unit="s", rounds=[seconds], limit=at_most(30)),
        Figure(
            name="300 and 300 at once, of what it took before",
            unit="s",
            rounds=[seconds],
            floor="11 minutes",
            floors=[BEFORE],
        ),
        Figure(
            name="30 and 20 at once",
            unit="s",
            rounds=[slow],
            floor="no place is ever empty",
            floors=[narrow.least],
            limit=at_most(1.05),
        ),
    )


async def run(ground: Ground, name: str, case: Case) -> float:
    """Return the seconds from the start of a run to its end."""
    sandbox = {
        "rate_limit": UNLIMITED,
        "latency_user_ms": str(round(ACCOUNT * 1_000)),
        "latency_video_ms": str(round(VIDEOS / PAGES * 1_000)),
        "videos": str(PAGES * PAGE),
    }
    settings = {
        "TIKTOK_RATE_LIMIT_PER_MINUTE": UNLIMITED,
        "SYNC_CONCURRENCY": str(case.accounts),
        "VIDEO_SYNC_CONCURRENCY": str(case.videos),
    }
    async with sync_lab(ground, name, **sandbox) as lab:
        await lab.add_stores(STORES)
        replica = lab.replica(**settings)
        began = time.perf_counter()
        await replica.complete(sync_pb2.JOB_ALL, STORES)
        return time.perf_counter() - began
