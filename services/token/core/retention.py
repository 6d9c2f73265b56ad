"""Forgets events that are older than anybody needs, a bounded number at a time."""

import asyncio
from datetime import timedelta
from typing import Protocol

MOST = 1_000  # rows in one statement, which must not hold others up


class Forgetful(Protocol):
    """Rows that grow old."""

    async def forget(self, age: timedelta, most: int) -> int:
        """Delete up to so many of the rows older than age; return how many."""
        ...


class Retention:
    """Keeps a table to an age; any number of replicas may do so at once."""

    def __init__(self, *, rows: Forgetful, age: timedelta) -> None:
        self._rows = rows
        self._age = age

    async def sweep(self) -> int:
        """Delete everything too old; return how many rows that were."""
        swept = deleted = await self._rows.forget(self._age, MOST)
        while deleted == MOST:
            await asyncio.sleep(0)
            deleted = await self._rows.forget(self._age, MOST)
            swept += deleted
        return swept
