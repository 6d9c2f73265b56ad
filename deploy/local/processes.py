"""One program as an operating-system process: started apart from the terminal, logged, ended within bounds."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.local.programs import PATIENCE, Program

LAUNCHER = "deploy.local.child"


class Process:
    """Runs a program; its output goes to `logs/<name>.log`, that of the start before to `<name>.log.1`."""

    def __init__(self, program: Program, state: Path) -> None:
        self.program = program
        self.log = state / "logs" / f"{program.name}.log"
        self._state = state
        self._pid_file = state / "run" / f"{program.name}.pid"
        self._process: asyncio.subprocess.Process | None = None
        for path in (self.log, self._pid_file):
            path.parent.mkdir(mode=0o700, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))

    @property
    def exit_status(self) -> int | None:
        """The status it ended with, negative for a signal; None while it runs."""
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        """Start it in a session of its own, so that a Ctrl-C in the terminal reaches only its parent."""
        arguments = (str(os.getpid()), str(self._state), self.program.module)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", LAUNCHER, *arguments),
                env=self.program.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid_file.write_text(str(self._process.pid), encoding="ascii")

    async def ended(self) -> str:
        """Wait for its end and say how it was."""
        if self._process is None:
            return "never started"
        return manner(await self._process.wait())

    async def end(self) -> None:
        """Ask it to end, and make it end when it does not within its patience."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.program.patience)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._pid_file.unlink(missing_ok=True)


def manner(status: int) -> str:
    """Say how a process ended that has this status, negative for a signal."""
    return f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"


def end_orphans(state: Path) -> None:
    """End what an earlier suite left running in this state directory: a killed one cannot end its own."""
    found = [process for file in (state / "run").glob("*.pid") if (process := orphan(file, state)) is not None]
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=PATIENCE)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=PATIENCE)


def orphan(pid_file: Path, state: Path) -> psutil.Process | None:
    """Return the process a file names if it is a program of this state directory: its number may have been reused."""
    try:
        process = psutil.Process(int(pid_file.read_text(encoding="ascii")))
        command = process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return process if LAUNCHER in command and str(state) in command else None
