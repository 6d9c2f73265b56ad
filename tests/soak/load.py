"""Load that comes when it comes: arrivals at a fixed rate, latencies from the moment they were due.

A service that stands still for a second makes a second's arrivals late, and all of them are counted so. A load that
waits for its answers before it goes on would have counted one.
"""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import httpx
from tokhub.sync.v1 import sync_pb2

from libs.errors import RunAlreadyActive, TokhubError
from tests.faults.gateway_processes import code_of
from tests.soak.world import World

# Seconds that a token has to live on; the rest of its minute is for the refresh ahead of need.
ENOUGH = 5
READS = 0.25  # of the gateway, for each token that is asked for
RUN_EVERY = 10.0  # seconds
DEADLINE = 30.0
MOST_WAITING = 5_000

# Does one thing, due at a moment; returns what came of it in a word, empty when it went well.
Act = Callable[[], Awaitable[str]]


@dataclass
class Tally:
    """What came of the arrivals, by kind."""

    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def note(self, kind: str, outcome: str, seconds: float) -> None:
        """Count one that ended, so long after it was due."""
        self.outcomes[kind][outcome or "OK"] += 1
        self.latencies[kind].append(seconds)


class Load:
    """Users of a suite, all of them impatient."""

    def __init__(self, world: World, rate: float, seed: int) -> None:
        self.tally = Tally()
        self._world = world
        self._rate = rate
        self._draw = random.Random(seed)
        self._waiting: set[asyncio.Task[None]] = set()

    async def press(self, seconds: float) -> None:
        """Send arrivals for so long, and return when all have been answered."""
        kinds: Sequence[tuple[str, float, Act]] = (
            ("token", 1 / self._rate, self._token),
            ("read", 1 / (self._rate * READS), self._read),
            ("run", RUN_EVERY, self._run),
        )
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._arrivals(kind, every, act, end) for kind, every, act in kinds))
        if self._waiting:
            await asyncio.wait(self._waiting)

    async def _arrivals(self, kind: str, every: float, act: Act, end: float) -> None:
        due = time.monotonic()
        while due < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if len(self._waiting) < MOST_WAITING:
                task = asyncio.create_task(self._one(kind, act, due))
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)
            else:
                self.tally.note(kind, "NEVER SENT", DEADLINE)
            due += every

    async def _one(self, kind: str, act: Act, due: float) -> None:
        outcome = await act()
        self.tally.note(kind, outcome, time.monotonic() - due)

    async def _token(self) -> str:
        replica = self._draw.choice(self._world.tokens)
        outcome = await replica.ask(self._store(), min_ttl=ENOUGH, deadline=DEADLINE)
        return "" if outcome.served else str(outcome)

    async def _read(self) -> str:
        try:
            answer = await self._world.gateway.admin.get(f"/admin/stores/{self._store()}")
        except (httpx.TransportError, RuntimeError) as error:
            # A client that was closed because its process is started anew says RuntimeError.
            return type(error).__name__
        return "" if answer.is_success else code_of(answer)

    async def _run(self) -> str:
        try:
            await self._draw.choice(self._world.syncs).begin(sync_pb2.JOB_USER)
        except RunAlreadyActive:
            return ""
        except TokhubError as error:
            return str(error.reason)
        return ""

    def _store(self) -> str:
        return self._draw.choice(self._world.stores)
