"""A service starts as soon as its database can be used, and says why when it gives up."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from libs.clock import SystemClock
from libs.database.errors import storage_errors
from libs.database.migrations import migrate
from libs.database.patience import once_usable
from libs.errors import StorageUnavailable


class QuickClock(SystemClock):
    def __init__(self) -> None:
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return sum(self.pauses)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


def failing(*errors: Exception) -> Callable[[], Awaitable[None]]:
    """Return a start that meets each of these errors once, the last one for ever."""
    left = list(errors)

    async def serve() -> None:
        with storage_errors():
            raise left.pop(0) if len(left) > 1 else left[0]

    return serve


async def test_a_start_is_repeated_until_the_database_can_be_used() -> None:
    begun = 0

    async def serve() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise StorageUnavailable

    clock = QuickClock()
    await once_usable(serve, asyncio.Event(), clock=clock)

    assert begun == 4
    assert clock.pauses == sorted(set(clock.pauses))


async def test_a_start_that_gives_up_says_why() -> None:
    full = asyncpg.TooManyConnectionsError("sorry, too many clients already")

    with pytest.raises(StorageUnavailable, match="has no session left: raise its max_connections") as given_up:
        await once_usable(failing(full), asyncio.Event(), clock=QuickClock(), patience=20)
    assert "clients" not in str(given_up.value)


async def test_the_reason_is_found_behind_a_migration(database_dsn: str, tmp_path: Path) -> None:
    elsewhere = database_dsn.replace("/test_", "/missing_")
    with pytest.raises(StorageUnavailable, match="has no database of that name"):
        await once_usable(lambda: migrate(elsewhere, tmp_path, "any"), asyncio.Event(), clock=QuickClock())


async def test_nobody_waits_for_a_password_to_become_right() -> None:
    clock = QuickClock()
    with pytest.raises(StorageUnavailable, match="refuses the user or the password"):
        await once_usable(failing(asyncpg.InvalidPasswordError("no")), asyncio.Event(), clock=clock)
    assert clock.pauses == []


async def test_each_reason_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    errors = (ConnectionRefusedError(), ConnectionRefusedError(), asyncpg.CannotConnectNowError("starting up"))
    with pytest.raises(StorageUnavailable):
        await once_usable(failing(*errors), asyncio.Event(), clock=QuickClock(), patience=20)

    said = capsys.readouterr().out
    assert (said.count("nothing listens there"), said.count("it is starting or stopping")) == (1, 1)


async def test_a_start_that_waits_can_be_stopped() -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(once_usable(failing(ConnectionRefusedError()), stop))
    await asyncio.sleep(0.05)
    stop.set()

    await asyncio.wait_for(waiting, 5)
