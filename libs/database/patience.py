"""Starts what needs a database as soon as the database can be used, and gives up in the end."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from libs.clock import Clock, SystemClock
from libs.database.errors import is_lasting, obstacle
from libs.errors import StorageUnavailable

PATIENCE = 60.0  # seconds
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 4.0  # seconds

log = structlog.get_logger()


async def once_usable(
    serve: Callable[[], Awaitable[None]],
    stop: asyncio.Event,
    *,
    clock: Clock | None = None,
    patience: float = PATIENCE,
) -> None:
    """Serve; as long as the start meets StorageUnavailable start anew, at ever longer intervals, until stop is set.

    Raises StorageUnavailable, with the reason, after so many seconds of patience, at once for one that waiting does not
    change. Of each reason one line is logged.
    """
    clock = clock or SystemClock()
    give_up_at, pause, told = clock.monotonic() + patience, SHORTEST_PAUSE, ""
    while not stop.is_set():
        try:
            await serve()
        except StorageUnavailable as error:
            why = f"The database cannot be used: {obstacle(error.__cause__)}." if error.__cause__ else str(error)
            if stop.is_set() or is_lasting(error.__cause__) or clock.monotonic() > give_up_at:
                raise StorageUnavailable(why) from error
            if why != told:
                log.warning("the start waits for the database", why=why, patience=patience)
            told = why
        else:
            return
        await _either(stop, clock.sleep(pause))
        pause = min(pause * 2, LONGEST_PAUSE)


async def _either(stop: asyncio.Event, pause: Awaitable[None]) -> None:
    waits = [asyncio.ensure_future(pause), asyncio.ensure_future(stop.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
