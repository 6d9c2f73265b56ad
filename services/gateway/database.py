"""The database that gateways share: asked with little patience, and found again when it was away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import structlog
from prometheus_client.registry import Collector

from libs.clock import Clock
from libs.database.dsn import Dsn
from libs.database.migrations import migrate
from libs.database.pool import Pool, PoolLimits, borrow, open_pool
from libs.database.pool_metrics import PoolMetrics
from libs.errors import ServerMisconfig, StorageUnavailable
from libs.secret import Secret
from libs.statements import Teller
from services.gateway.sharing import Sharing

SCHEMA = "gateway"
MIGRATIONS = Path(__file__).parent / "migrations"
POOL = PoolLimits(min_size=1, max_size=8)
# Half a second for the database to answer, in turns: time in which this process itself was too busy to listen is not
# held against the database, or a flood would undo the sharing that it is counted by.
TURNS, TURN_SECONDS = 10, 0.05
OPEN_WITHIN = 15.0  # seconds that a start waits for the database
OPEN_EVERY, PRUNE_EVERY = 5.0, 60.0  # seconds

# Something that is done with the rows.
Step: TypeAlias = Callable[[], Awaitable[None]]

log = structlog.get_logger()


async def prepare_schema(dsn: str) -> None:
    """Bring the schema to this release's revision; ServerMisconfig for a newer one."""
    await migrate(dsn, MIGRATIONS, SCHEMA)


class Database:
    """Answers statements; StorageUnavailable while it cannot, whatever the reason."""

    def __init__(self, sharing: Sharing, tell: Teller | None = None) -> None:
        self._sharing = sharing
        self._tell = tell
        self._pool: Pool | None = None

    @asynccontextmanager
    async def opened(self, dsn: str, begin: Sequence[Step] = ()) -> AsyncIterator[None]:
        """Migrate the schema, take the first steps, and use it while open; ServerMisconfig for a newer one."""
        await prepare_schema(dsn)
        async with open_pool(dsn, application="tokhub-gateway", schema=SCHEMA, limits=POOL, tell=self._tell) as pool:
            self._pool = pool
            try:
                for step in begin:
                    await step()
            except StorageUnavailable:
                self._pool = None
                raise
            yield

    @property
    def is_open(self) -> bool:
        """Whether the database was reached once; from then on the pool finds it again."""
        return self._pool is not None

    def metrics(self) -> Collector:
        """Return what tells how the pool is used, once there is one."""
        return PoolMetrics(lambda: {"limits": self._pool} if self._pool else {})

    async def row(self, statement: str, *arguments: object) -> Any:
        """Return the first row of a statement's answer, None when it has none."""
        with self._sharing.question():
            if self._pool is None:
                raise StorageUnavailable
            asking = asyncio.create_task(fetch(self._pool, statement, arguments))
            try:
                for _ in range(TURNS):
                    answered, _ = await asyncio.wait({asking}, timeout=TURN_SECONDS)
                    if answered:
                        return asking.result()
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                # A right taken away or a schema that is gone must not close the doors either.
                raise StorageUnavailable from error
            finally:
                asking.cancel()
            raise StorageUnavailable from TimeoutError()


async def fetch(pool: Pool, statement: str, arguments: Sequence[object]) -> Any:
    """Return the row; when cancelled, give the connection up rather than wait for a server that may be gone."""
    async with borrow(pool) as connection:
        try:
            return await connection.fetchrow(statement, *arguments)
        except asyncio.CancelledError:
            connection.terminate()
            raise


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Opens the database, again and again until it is there, and has old rows deleted from time to time.

    What there is to begin with is done as soon as that has succeeded.
    """

    database: Database
    dsn: Secret
    prune: Sequence[Step]
    clock: Clock
    begin: Sequence[Step] = ()

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Keep it while the context is open, which it is after OPEN_WITHIN at most; ServerMisconfig."""
        try:
            Dsn.parse(self.dsn.reveal())
        except ValueError as error:
            raise ServerMisconfig(str(error)) from None
        async with AsyncExitStack() as stack:
            with suppress(StorageUnavailable, TimeoutError):
                async with asyncio.timeout(OPEN_WITHIN):
                    await self._tend(stack)
            tending = asyncio.create_task(self._repeat(stack))
            try:
                yield
            finally:
                tending.cancel()
                await asyncio.wait({tending})

    async def _repeat(self, stack: AsyncExitStack) -> None:
        while True:
            await self.clock.sleep(PRUNE_EVERY if self.database.is_open else OPEN_EVERY)
            try:
                await self._tend(stack)
            except StorageUnavailable:
                continue
            except Exception as error:
                log.error("what gateways share cannot be looked after", exc_info=error)

    async def _tend(self, stack: AsyncExitStack) -> None:
        if not self.database.is_open:
            with suppress(StorageUnavailable):
                await stack.enter_async_context(self.database.opened(self.dsn.reveal(), self.begin))
        for prune in self.prune:
            await prune()
