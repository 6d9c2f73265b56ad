"""What goes wrong while there is load: one thing after the other, drawn at random from a seed, each mended by itself.

No clock is moved: services under load at different times would be another case.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from tests.faults.processes import ServiceProcess
from tests.faults.servers import crash, restart_fast
from tests.soak.world import World

# Seconds between two of them, from the end of one to the beginning of the next.
REST = (3.0, 12.0)
# Longer than a lease of 45 s is worth, and shorter.
PAUSES = (2.0, 20.0)
AWAY = 3.0  # seconds that a process stays dead
# Once each is as good as often: what comes of the second is what came of the first.
FAULTS = ("answer_lost", "503", "reset", "truncated", "slow", "html", "429")
SLOW = 8.0  # seconds

Deed = Callable[[], Awaitable[str]]


class Nemesis:
    """Does harm until it is cancelled, and leaves everything running."""

    def __init__(self, world: World, seed: int) -> None:
        self.done: list[str] = []
        self._world = world
        self._draw = random.Random(seed)

    async def do_harm(self, end: float) -> None:
        """Go on until a moment, which the last harm may pass."""
        deeds: Sequence[Deed] = (self._kill, self._kill, self._pause, self._cut, self._cut, self._restart, self._crash)
        while time.monotonic() + REST[1] < end:
            await asyncio.sleep(self._draw.uniform(*REST))
            self.done.append(await self._draw.choice(deeds)())
        await self._world.lab.no_faults()

    async def _kill(self) -> str:
        process = self._victim()
        await process.kill()
        await asyncio.sleep(self._draw.uniform(0, AWAY))
        await process.start()
        return f"kill -9 {process.name}"

    async def _pause(self) -> str:
        process, seconds = self._victim(), self._draw.uniform(*PAUSES)
        process.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            process.resume()
        return f"SIGSTOP {process.name}"

    async def _cut(self) -> str:
        kind, count = self._draw.choice(FAULTS), self._draw.randint(1, 3)
        told = {"seconds": SLOW} if kind == "slow" else {}
        endpoint = self._draw.choice(("token", "user"))
        await self._world.lab.fault(kind, "*", endpoint=endpoint, count=count, **told)
        return f"TikTok: {kind} {endpoint}"

    async def _restart(self) -> str:
        await restart_fast(self._world.lab.postgres)
        return "PostgreSQL restarted"

    async def _crash(self) -> str:
        await crash(self._world.lab.postgres)
        await asyncio.to_thread(self._world.lab.postgres.start)
        return "PostgreSQL crashed"

    def _victim(self) -> ServiceProcess:
        return self._draw.choice(self._world.processes)
