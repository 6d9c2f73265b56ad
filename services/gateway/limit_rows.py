"""Limits and lockouts as rows that all replicas share: the gateway's only SQL, on the database's clock."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from libs.clock import Clock
from libs.database.dsn import Dsn
from libs.database.migrations import migrate
from libs.database.pool import Pool, PoolLimits, borrow, open_pool
from libs.errors import ServerMisconfig, StorageUnavailable, TokhubError
from libs.secret import Secret
from services.gateway.limits import LockoutRule
from services.gateway.shared_limits import SharedRule, Verdict
from services.gateway.sharing import Sharing

SCHEMA = "gateway"
MIGRATIONS = Path(__file__).parent / "migrations"
POOL = PoolLimits(min_size=1, max_size=8)
# Half a second for the database to answer, in turns: time in which this process itself was too busy to listen is not
# held against the database, or a flood would undo the sharing that it is counted by.
TURNS, TURN_SECONDS = 10, 0.05
OPEN_WITHIN = 15.0  # seconds that a start waits for the database
OPEN_EVERY, PRUNE_EVERY = 5.0, 60.0  # seconds

SPEND = "SELECT granted, remaining, more_in FROM spend($1, $2, $3, $4, $5)"
SPEND_UNLESS_BLOCKED = "SELECT granted, remaining, more_in, blocked_for FROM spend_unless_blocked($1, $2, $3, $4, $5)"
COUNT_FAILURE = "SELECT count_failure($1, $2, $3) AS blocked_for"
# What is locked is in use, and waiting for it could end in a deadlock.
PRUNE_SPENT = """
DELETE FROM spent WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM spent WHERE clears_at <= clock_timestamp() LIMIT 10000 FOR UPDATE SKIP LOCKED))
"""
PRUNE_LOCKOUTS = """
DELETE FROM lockouts WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM lockouts
    WHERE greatest(blocked_until, failures[cardinality(failures)]) <= clock_timestamp() - make_interval(secs => $1)
    LIMIT 10000 FOR UPDATE SKIP LOCKED))
"""


UNLOCK = "DELETE FROM lockouts WHERE address = ANY($1) AND blocked_until > clock_timestamp() RETURNING address"

log = structlog.get_logger()


async def prepare_schema(dsn: str) -> None:
    """Bring the schema to this release's revision; ServerMisconfig for a newer one."""
    await migrate(dsn, MIGRATIONS, SCHEMA)


class LimitRows:
    """The rows; StorageUnavailable while they cannot be had, whatever the reason."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._pool: Pool | None = None

    @asynccontextmanager
    async def opened(self, dsn: str, unlocked: Sequence[str] = ()) -> AsyncIterator[None]:
        """Migrate the schema, end some addresses' lockouts, and use it while open; ServerMisconfig for a newer one."""
        await prepare_schema(dsn)
        async with open_pool(dsn, application="tokhub-gateway", schema=SCHEMA, limits=POOL) as pool:
            await unlock(pool, unlocked)
            self._pool = pool
            yield

    @property
    def is_open(self) -> bool:
        """Whether the database was reached once; from then on the pool finds it again."""
        return self._pool is not None

    async def spend(self, rule: SharedRule, address: str, wanted: int) -> Verdict:
        """Take what is free of what is wanted."""
        return Verdict(**await self._row(SPEND, rule.name, address, wanted, rule.most, rule.seconds))

    async def spend_unless_blocked(self, rule: SharedRule, address: str, wanted: int) -> Verdict:
        """Take what is free of what is wanted, nothing while the address is blocked."""
        return Verdict(**await self._row(SPEND_UNLESS_BLOCKED, rule.name, address, wanted, rule.most, rule.seconds))

    async def count_failure(self, address: str, rule: LockoutRule) -> float | None:
        """Count one failure and return None, or the seconds for which the address is blocked already."""
        blocked_for: float | None = (await self._row(COUNT_FAILURE, address, rule.max_failures, rule.block_seconds))[
            "blocked_for"
        ]
        return blocked_for

    async def prune(self, rule: LockoutRule) -> None:
        """Delete what no longer counts."""
        await self._row(PRUNE_SPENT)
        await self._row(PRUNE_LOCKOUTS, rule.block_seconds)

    async def _row(self, statement: str, *arguments: object) -> Any:
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


async def unlock(pool: Pool, addresses: Sequence[str]) -> None:
    """Let these addresses in again."""
    async with borrow(pool) as connection:
        for row in await connection.fetch(UNLOCK, addresses):
            log.warning("let in before the end of its lockout", address=row["address"])


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Opens the rows, again and again until the database is there, and prunes them from time to time.

    Once they are open, the lockouts of some addresses end.
    """

    rows: LimitRows
    dsn: Secret
    rule: LockoutRule
    clock: Clock
    unlocked: Sequence[str] = ()

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Keep the rows while the context is open, which it is after OPEN_WITHIN at most; ServerMisconfig."""
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
            await self.clock.sleep(PRUNE_EVERY if self.rows.is_open else OPEN_EVERY)
            with suppress(TokhubError):
                await self._tend(stack)

    async def _tend(self, stack: AsyncExitStack) -> None:
        if not self.rows.is_open:
            with suppress(StorageUnavailable):
                await stack.enter_async_context(self.rows.opened(self.dsn.reveal(), self.unlocked))
        await self.rows.prune(self.rule)
