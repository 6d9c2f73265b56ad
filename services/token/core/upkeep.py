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
async def upkeep(
    chores: Sequence[Chore], *, every: float, clock: Clock, first: float | None = None
) -> AsyncIterator[None]:
    """Do each chore every so many seconds while the context is open; one that fails is tried again next time.

    The first time comes after first seconds, by default after every.
    """
    wait = every if first is None else first
    tasks = [asyncio.create_task(repeat(chore, wait, every, clock), name="upkeep") for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def repeat(chore: Chore, first: float, every: float, clock: Clock) -> None:
    """Do a chore for ever, beginning after first seconds."""
    await clock.sleep(first)
    while True:
        try:
            await chore()
        except TokhubError as error:
            log.warning("upkeep waits", why=error.reason.value)
        except Exception as error:
            log.error("upkeep failed", exc_info=error)
        await clock.sleep(every)
