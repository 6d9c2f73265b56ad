"""Starts the programs, keeps them running, and ends them in order; leaves none behind."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from deploy.local.processes import Process
from deploy.local.programs import Program

READY_SECONDS = 90.0
POLL_SECONDS = 0.1
LAST_LINES = 8
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# A program that ran this long has recovered: its next failure is its first.
STEADY_SECONDS = 60.0

Say = Callable[[str], None]


class CannotStart(Exception):
    """A program did not become ready; the text names it, its log and the log's last lines."""


class Supervisor:
    """The running programs."""

    def __init__(self, *, state: Path, say: Say) -> None:
        self._state = state
        self._say = say
        self._running: dict[str, Process] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}

    async def start(self, programs: Iterable[Program]) -> None:
        """Start the programs together and return when all are ready, from then on they are kept running."""
        processes = [Process(program, self._state) for program in programs]
        for process in processes:
            self._running[process.program.name] = process
            await process.start()
        for process in processes:
            await self._become_ready(process)
        for process in processes:
            self._watch(process)

    async def replace(self, program: Program) -> None:
        """End the program of the same name and start this one in its place."""
        await self._end(program.name)
        await self.start([program])

    async def end_all(self) -> None:
        """End the programs one after another, the last started first."""
        for name in reversed(list(self._running)):
            await self._end(name)

    def _watch(self, process: Process) -> None:
        name = process.program.name
        self._watches[name] = asyncio.create_task(self._keep_running(process), name=f"keep {name} running")

    async def _end(self, name: str) -> None:
        if (watch := self._watches.pop(name, None)) is not None:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        # Kept among the running until it has ended, so that an interruption here does not lose it.
        await self._running[name].end()
        del self._running[name]

    async def _keep_running(self, process: Process) -> None:
        failures = 0
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            ending = await process.ended()
            failures = failures + 1 if clock() - began < STEADY_SECONDS else 0
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            self._say(f"{process.program.name} {ending}; starting it again in {pause:g} s. Its log: {process.log}")
            await asyncio.sleep(pause)
            try:
                await process.start()
            except OSError as error:
                # One that runs nevertheless has its end waited for as ever; one that does not has ended before.
                self._say(f"{process.program.name} cannot be started as it should: {error.strerror}")

    async def _become_ready(self, process: Process) -> None:
        program = process.program
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await program.ready():
                    if process.exit_status is not None:
                        raise CannotStart(failure(f"{program.name} {await process.ended()}", process.log))
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            said = f"{program.name} was not ready within {READY_SECONDS:g} s"
            raise CannotStart(failure(said, process.log)) from None


def failure(what: str, log: Path) -> str:
    """Return what happened with the end of the log."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        last = "".join(deque(lines, LAST_LINES))
    return f"{what}; the end of {log}:\n{last}"
