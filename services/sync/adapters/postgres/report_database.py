"""Connections for reports: few and of their own, so that no report keeps a sync waiting for one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.database.errors import storage_errors
from libs.database.pool import Borrowed, Pool, PoolLimits
from libs.errors import StorageUnavailable

PLACES = 2
PATIENCE = 5.0  # seconds until a reader is told that all places are taken
TRY_AGAIN = 15.0  # seconds, by when a usual report is done
# A year of many stores is a scan of many gigabytes, wanted by a person who waits for it.
TIMEOUT = 120.0  # seconds
# With PostgreSQL's 4 MB, sums over many stores sort on disk; for each step of a query, and there are few queries.
WORK_MEM = "64MB"

LIMITS = PoolLimits(min_size=0, max_size=PLACES, statement_timeout=TIMEOUT, lock_timeout=TIMEOUT)


class ReportDatabase:
    """Lends connections that only read, with statements of up to TIMEOUT; StorageUnavailable while none is free."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Borrowed]:
        """Lend a connection whose statements all see the same moment."""
        with storage_errors():
            connection = await self._acquire()
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    await connection.execute(f"SET LOCAL work_mem = '{WORK_MEM}'")
                    yield connection
            finally:
                await self._pool.release(connection)

    async def _acquire(self) -> Borrowed:
        try:
            return await self._pool.acquire(timeout=PATIENCE)
        except TimeoutError:
            raise StorageUnavailable(
                f"{PLACES} reports or exports are being made now, which is as many as there may be at once: "
                "try again when one is done.",
                retry_after=TRY_AGAIN,
            ) from None
