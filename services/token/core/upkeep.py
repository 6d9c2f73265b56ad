"""Work that nobody waits for, again and again until the service ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from libs.clock import Clock
from libs.errors import TokhubError

log = structlog.get_logger()

Chore = Callable[[], Awaitable[object]]


@contextlib.asynccontextmanager
async def upkeep(chores: Sequence[Chore], *, every: float, clock: Clock) -> AsyncIterator[None]:
    """Do each chore every so many seconds while the context is open; one that fails is tried again next time."""
    tasks = [asyncio.create_task(repeat(chore, every, clock), name="upkeep") for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def repeat(chore: Chore, every: float, clock: Clock) -> None:
    """Do a chore for ever."""
    while True:
        await clock.sleep(every)
        try:
            await chore()
        except TokhubError as error:
            log.warning("upkeep waits", why=error.reason.value)
        except Exception as error:
            log.error("upkeep failed", exc_info=error)
