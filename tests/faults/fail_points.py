"""Fail points: what a process of the campaign does to itself where its parts pass.

FAIL_POINTS is a list like `before_commit=kill9@2 answered=hold`: at the second pass of that point the process kills
itself; `hold` waits there until the case lets it go on; `stop` stops the process as SIGSTOP does. CLOCK_OFFSET moves
the process's wall clock by seconds, CLOCK_OFFSET_FILE by those that stand in a file now. The shipped services know
none of this.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from libs.clock import SystemClock

LOOK_EVERY = 0.01  # seconds


@dataclass(frozen=True)
class FailPoint:
    """What happens at a point, at which pass; 0 is every one."""

    action: str
    at: int


class FailPoints:
    """Acts where it was told to; a file `<point>.reached` says that a process has come to a `hold`."""

    def __init__(self, points: Mapping[str, FailPoint], directory: Path) -> None:
        self._points = points
        self._directory = directory
        self._passes: Counter[str] = Counter()

    @classmethod
    def read(cls, environ: Mapping[str, str], known: Collection[str]) -> "FailPoints":
        """Return what the environment asks for; ValueError for a point that is not known."""
        points = {}
        for word in environ.get("FAIL_POINTS", "").split():
            point, _, told = word.partition("=")
            action, _, at = told.partition("@")
            points[point] = FailPoint(action, int(at or 1))
        if unknown := set(points) - set(known):
            raise ValueError(f"no such fail point: {', '.join(sorted(unknown))}")
        return cls(points, Path(environ.get("FAIL_POINTS_DIR", ".")))

    async def at(self, point: str) -> None:
        """Do what is to happen here."""
        self._passes[point] += 1
        told = self._points.get(point)
        if told is None or told.at not in (0, self._passes[point]):
            return
        if told.action == "kill9":
            os.kill(os.getpid(), signal.SIGKILL)
        if told.action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if told.action == "hold":
            (self._directory / f"{point}.reached").touch()
            while not (self._directory / f"{point}.go").exists():
                await SystemClock().sleep(LOOK_EVERY)


class MovedClock(SystemClock):
    """A wall clock that is wrong."""

    offset = os.environ.get("CLOCK_OFFSET", "0")
    file = os.environ.get("CLOCK_OFFSET_FILE")

    def now(self) -> datetime:
        offset = Path(self.file).read_text(encoding="ascii") if self.file else self.offset
        return super().now() + timedelta(seconds=float(offset))


def compose(service: str, replaced: Mapping[str, type]) -> None:
    """Put other parts in place of a service's own, wherever it composes them."""
    modules = [module for name, module in sys.modules.items() if name.startswith(service)]
    for module in modules:
        for name, part in replaced.items():
            if hasattr(module, name):
                setattr(module, name, part)
