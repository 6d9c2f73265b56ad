"""Connections for the adapters, and figures about how they are used."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from libs.database.pool import Borrowed, Pool, borrow

PATIENCE = 5.0  # seconds; a burst of items ends is over sooner

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class PoolFigures:
    """How the pool is used at a moment."""

    total: int
    idle: int
    waiting: int


class Database:
    """Lends connections; StorageUnavailable when the database or a free connection cannot be had."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting = 0

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Borrowed]:
        """Lend a connection."""
        async with AsyncExitStack() as stack:
            self._waiting += 1
            try:
                connection = await stack.enter_async_context(borrow(self._pool, patience=PATIENCE))
            finally:
                self._waiting -= 1
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Borrowed]:
        """Lend a connection inside a transaction that an exception rolls back."""
        async with self.borrow() as connection, connection.transaction():
            yield connection

    def figures(self) -> PoolFigures:
        """Return how the pool is used now."""
        return PoolFigures(total=self._pool.get_size(), idle=self._pool.get_idle_size(), waiting=self._waiting)

    async def report(self) -> None:
        """Write the line that people follow the pool by."""
        figures = self.figures()
        log.info(
            "Database pool statistics",
            totalCount=figures.total,
            idleCount=figures.idle,
            waitingCount=figures.waiting,
        )

    async def answers(self) -> bool:
        """Return whether the database answers."""
        async with self.borrow() as connection:
            return bool(await connection.fetchval("SELECT true"))
