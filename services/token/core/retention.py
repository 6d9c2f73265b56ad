"""Forgets events that are older than anybody needs, a bounded number at a time."""

import asyncio
from datetime import timedelta
from typing import Protocol

import structlog

from libs.clock import Clock
from libs.errors import StorageUnavailable

EVERY = 3_600.0  # seconds between two sweeps
MOST = 1_000  # rows in one statement, which must not hold others up

log = structlog.get_logger()


class Forgetful(Protocol):
    """Rows that grow old."""

    async def forget(self, age: timedelta, most: int) -> int:
        """Delete up to so many of the rows older than age; return how many."""
        ...


class Retention:
    """Keeps a table to an age; any number of replicas may do so at once."""

    def __init__(self, *, rows: Forgetful, age: timedelta, clock: Clock) -> None:
        self._rows = rows
        self._age = age
        self._clock = clock

    async def sweep(self) -> int:
        """Delete everything too old; return how many rows that were."""
        swept = deleted = await self._rows.forget(self._age, MOST)
        while deleted == MOST:
            await asyncio.sleep(0)
            deleted = await self._rows.forget(self._age, MOST)
            swept += deleted
        return swept

    async def keep(self) -> None:
        """Sweep again and again, for ever; what fails is done the next time."""
        while True:
            try:
                swept = await self.sweep()
                log.debug("old events forgotten", events=swept)
            except StorageUnavailable as error:
                log.warning("old events stay for now", error=error.message)
            except Exception:
                log.exception("old events cannot be forgotten")
            await self._clock.sleep(EVERY)
