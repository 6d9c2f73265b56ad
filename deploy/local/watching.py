"""Keeps the embedded PostgreSQL running while the programs do: what it ends by itself is started again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from deploy.local.processes import manner
from deploy.local.programs import PATIENCE
from deploy.local.state import is_free
from deploy.local.supervision import PAUSES, STEADY_SECONDS, Say
from libs.database.embedded import EmbeddedPostgres
from libs.errors import ServerMisconfig
from libs.waiting import wait_at_most

POLL_SECONDS = 0.1

Revive = Callable[[], Awaitable[None]]


@asynccontextmanager
async def watching(server: EmbeddedPostgres | None, say: Say) -> AsyncIterator[Revive]:
    """Watch the server while the context is open; yield what brings it back for those who are about to stop."""
    if server is None:
        yield leave_alone
        return
    watch = Watch(server, say)
    task = asyncio.create_task(watch.keep_running(), name="keep PostgreSQL running")
    try:
        yield watch.revive_now
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def leave_alone() -> None:
    """Do nothing: a database that was given is looked after by others."""


class Watch:
    """Looks after one started server, always at the same address."""

    def __init__(self, server: EmbeddedPostgres, say: Say) -> None:
        self._server = server
        self._port = server.port
        self._log = server.log
        self._say = say
        self._now = asyncio.get_running_loop().time
        self._seen_running = asyncio.Event()
        self._hurry = asyncio.Event()
        self._failures = 0

    async def keep_running(self) -> None:
        """Start the server again whenever it has ended."""
        began = self._now()
        while True:
            status = self._server.exit_code
            if status is None:
                self._seen_running.set()
                await asyncio.sleep(POLL_SECONDS)
                continue
            self._failures = self._failures + 1 if self._now() - began < STEADY_SECONDS else 0
            await self._start_again(f"PostgreSQL {manner(status)}")
            began = self._now()

    async def revive_now(self) -> None:
        """Return when the server runs, or after PATIENCE seconds; long pauses are over."""
        self._hurry.set()
        self._seen_running.clear()
        try:
            await asyncio.wait_for(self._seen_running.wait(), PATIENCE)
        except TimeoutError:
            self._say(f"PostgreSQL is still down: the programs end without it. Its log: {self._log}")

    async def _start_again(self, said: str) -> None:
        while said:
            pause = PAUSES[0] if self._hurry.is_set() else PAUSES[min(self._failures, len(PAUSES) - 1)]
            self._say(f"{said}; starting it again in {pause:g} s. Its log: {self._log}")
            await self._pause(pause)
            try:
                await asyncio.to_thread(self._start)
                said = ""
            except (ServerMisconfig, OSError) as error:
                said = f"PostgreSQL did not start: {error}"
                self._failures += 1

    async def _pause(self, seconds: float) -> None:
        if self._hurry.is_set():
            await asyncio.sleep(seconds)
            return
        await wait_at_most(self._hurry, seconds)

    def _start(self) -> None:
        # What it leaves behind would be in its own way.
        self._server.stop()
        if not is_free(self._port):
            raise ServerMisconfig(f"its port {self._port} is taken by another program")
        self._server.start()
