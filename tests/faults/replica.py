"""A token service with fail points: `python -m tests.faults.replica`, composed for tests only.

FAIL_POINTS is a list like `before_commit=kill9@2 answered=hold`: at the second pass of that point the process kills
itself; `hold` waits there until the case lets it go on; `stop` stops the process as SIGSTOP does. CLOCK_OFFSET moves
the process's wall clock by seconds, MIGRATIONS_DIR makes it another release. The shipped service knows none of this.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from libs.clock import SystemClock
from libs.database.pool import borrow
from services.token import __main__ as service
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.journal.journal import FileJournal
from services.token.adapters.login_kit import LoginKitProvider
from services.token.adapters.provider_events import PostgresProviderEvents
from services.token.adapters.restoring import PostgresReplay
from services.token.adapters.sealed_rows import PostgresSealedRows
from services.token.adapters.tiktok_shop import TiktokShopProvider

POINTS = (
    "after_lease",
    "before_send",
    "answered",
    "journaled",
    "before_commit",
    "after_commit",
    "in_batch",
    "in_replay",
    "with_connection",
)
LOOK_EVERY = 0.01  # seconds


@dataclass(frozen=True)
class FailPoint:
    """What happens at a point, at which pass; 0 is every one."""

    action: str
    at: int


class FailPoints:
    """Acts where it was told to; a file `<point>.reached` says that a process has come to a `hold`."""

    def __init__(self, points: Mapping[str, FailPoint], directory: Path) -> None:
        unknown = set(points) - set(POINTS)
        if unknown:
            raise ValueError(f"no such fail point: {', '.join(sorted(unknown))}")
        self._points = points
        self._directory = directory
        self._passes: Counter[str] = Counter()

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "FailPoints":
        """Return what the environment asks for."""
        points = {}
        for word in environ.get("FAIL_POINTS", "").split():
            point, _, told = word.partition("=")
            action, _, at = told.partition("@")
            points[point] = FailPoint(action, int(at or 1))
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


FAIL = FailPoints.read(os.environ)


class FailingConnections(PostgresConnections):
    """Rows, with a point after a lease and around the save."""

    async def claim(self, *args: Any, **named: Any) -> Any:
        lease = await super().claim(*args, **named)
        if lease:
            await FAIL.at("after_lease")
        return lease

    async def save(self, *args: Any) -> bool:
        await FAIL.at("before_commit")
        saved = await super().save(*args)
        await FAIL.at("after_commit")
        return saved


class FailingJournal(FileJournal):
    """A journal, with a point after an entry is on the disk."""

    async def keep(self, entry: Any) -> bool:
        kept = await super().keep(entry)
        await FAIL.at("journaled")
        return kept


class FailingLoginKit(LoginKitProvider):
    """Login Kit, with a point before a refresh is sent and after its answer."""

    async def refresh(self, refresh_token: Any, /) -> Any:
        await FAIL.at("before_send")
        grant = await super().refresh(refresh_token)
        await FAIL.at("answered")
        return grant


class FailingShop(TiktokShopProvider):
    """TikTok Shop, with the same points."""

    async def refresh(self, refresh_token: Any, /) -> Any:
        await FAIL.at("before_send")
        grant = await super().refresh(refresh_token)
        await FAIL.at("answered")
        return grant


class FailingRows(PostgresSealedRows):
    """Sealed rows, with a point after a batch of a key rotation."""

    async def swap(self, *args: Any) -> Any:
        swapped = await super().swap(*args)
        await FAIL.at("in_batch")
        return swapped


class FailingReplay(PostgresReplay):
    """A replay, with a point before each row."""

    async def restore(self, entry: Any) -> bool:
        await FAIL.at("in_replay")
        return await super().restore(entry)


class FailingEvents(PostgresProviderEvents):
    """Webhooks, with a point that has a connection of the pool in its hands."""

    async def apply(self, event: Any) -> Any:
        async with borrow(self._pool):
            await FAIL.at("with_connection")
        return await super().apply(event)


class MovedClock(SystemClock):
    """A wall clock that is wrong."""

    offset = timedelta(seconds=float(os.environ.get("CLOCK_OFFSET", "0")))

    def now(self) -> datetime:
        return super().now() + self.offset


REPLACED = {
    "PostgresConnections": FailingConnections,
    "FileJournal": FailingJournal,
    "LoginKitProvider": FailingLoginKit,
    "TiktokShopProvider": FailingShop,
    "PostgresSealedRows": FailingRows,
    "PostgresReplay": FailingReplay,
    "PostgresProviderEvents": FailingEvents,
    "SystemClock": MovedClock,
}


def compose() -> None:
    """Put the failing parts in place of the service's own, wherever it composes them."""
    modules = [module for name, module in sys.modules.items() if name.startswith("services.token")]
    for module in modules:
        for name, part in REPLACED.items():
            if hasattr(module, name):
                setattr(module, name, part)


if __name__ == "__main__":
    compose()
    service.MIGRATIONS = Path(os.environ.get("MIGRATIONS_DIR", service.MIGRATIONS))
    service.main()
