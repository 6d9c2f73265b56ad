"""Starts programs of the project as their users do, and tells what they cost."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOOK_EVERY = 0.005  # seconds


class Program:
    """A running program; what it says goes to a file, as to a log collector."""

    def __init__(self, process: subprocess.Popen[bytes], said: Path) -> None:
        self.process = process
        self._psutil = psutil.Process(process.pid)
        self._said = said

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all its threads until now."""
        times = self._psutil.cpu_times()
        return float(times.user + times.system)

    @property
    def memory(self) -> float:
        """Resident megabytes now."""
        return float(self._psutil.memory_info().rss) / 1e6

    @property
    def peak_memory(self) -> float:
        """Resident megabytes at most until now; Linux only."""
        told = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("VmHWM")) * 1024 / 1e6

    def wait_for(self, message: str) -> Mapping[str, Any]:
        """Return the first log line with this message."""
        give_up_at = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up_at and self.process.poll() is None:
            for line in self._said.read_text().splitlines(keepends=True):
                if f'"{message}"' in line and line.endswith("\n"):
                    found: Mapping[str, Any] = json.loads(line)
                    return found
            time.sleep(LOOK_EVERY)
        raise RuntimeError(f"{self.process.args!r} does not say {message!r}:\n{self._said.read_text()[-4000:]}")


def family_cpu_seconds(process_id: int) -> float:
    """User and system time of a process and its children until now, those that have ended included."""
    parent = psutil.Process(process_id)
    ended = parent.cpu_times()
    living = [one.cpu_times() for one in (parent, *parent.children())]
    return float(ended.children_user + ended.children_system + sum(one.user + one.system for one in living))


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a program, in place of those of whoever measures."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "GRPC_VERBOSITY": "NONE", **settings}


@contextmanager
def running(module: str, said: Path, settings: Mapping[str, str]) -> Iterator[Program]:
    """Run `python -m module` while the context is open."""
    with said.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, env=environment(settings), stdout=log, stderr=log
        )
    try:
        yield Program(process, said)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Let a program end by itself, or end it."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ask(module: str, question: object, python: str = sys.executable) -> Any:
    """Run `python -m module`, with another Python if need be, which reads JSON and answers with JSON."""
    done = subprocess.run(
        [python, "-m", module],
        cwd=ROOT,
        env=environment({}),
        input=json.dumps(question).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)
