"""Opens connection pools for services: short statements, bounded waits, no state left in a session."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg

from libs.database.errors import storage_errors
from libs.statements import Teller

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Borrowed: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


@dataclass(frozen=True)
class PoolLimits:
    """Sizes in connections, times in seconds."""

    min_size: int = 2
    max_size: int = 10
    connect_timeout: float = 5.0
    statement_timeout: float = 2.0
    lock_timeout: float = 1.0
    close_timeout: float = 5.0


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    application: str,
    schema: str | None = None,
    limits: PoolLimits | None = None,
    tell: Teller | None = None,
) -> AsyncIterator[Pool]:
    """Yield a pool whose unqualified names mean schema; StorageUnavailable when the database cannot be reached.

    Sessions are not reset between borrowers, which saves a round trip (24,800 against 17,600 reads per second). So
    leave no state in one: `SET LOCAL` and transaction-level advisory locks only, no LISTEN. json and jsonb columns are
    Python values on both sides. Leaving waits close_timeout for borrowed connections, then cuts them.
    tell is told of every statement that has ended.
    """
    limits = limits or PoolLimits()

    async def prepare(connection: Any) -> None:
        await _read_json(connection)
        if tell:
            connection.add_query_logger(tell)

    with storage_errors():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=limits.min_size,
            max_size=limits.max_size,
            timeout=limits.connect_timeout,
            command_timeout=limits.statement_timeout + 1.0,
            init=prepare,
            reset=_leave_as_it_is,
            server_settings=_server_settings(application, schema, limits),
        )
    try:
        yield pool
    finally:
        await _close(pool, limits.close_timeout)


@asynccontextmanager
async def borrow(pool: Pool, *, patience: float = 2.0) -> AsyncIterator[Borrowed]:
    """Yield a connection; StorageUnavailable when none is free within patience seconds or the database fails the body.

    Do nothing but database work in the body: any OSError or timeout in it counts as the database's.
    """
    with storage_errors():
        async with pool.acquire(timeout=patience) as connection:
            try:
                yield connection
            except (TimeoutError, asyncpg.InternalClientError):
                # A server that cut no statement at its own, shorter limit is out of reach: giving a connection back
                # would wait as long again for it to hear of the cancellation. And of a connection that broke in the
                # middle of something the driver may not know how it stands.
                connection.terminate()
                raise


def _server_settings(application: str, schema: str | None, limits: PoolLimits) -> dict[str, str]:
    settings = {
        "application_name": application,
        "statement_timeout": _milliseconds(limits.statement_timeout),
        "lock_timeout": _milliseconds(limits.lock_timeout),
        # A transaction left open by a stuck handler would hold its row locks.
        "idle_in_transaction_session_timeout": _milliseconds(30.0),
        # Compiling costs more than these queries take.
        "jit": "off",
        "timezone": "UTC",
    }
    return settings if schema is None else {**settings, "search_path": schema}


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


async def _read_json(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def _leave_as_it_is(_connection: object) -> None:
    # In place of the driver's reset statements; a transaction left open it has rolled back before.
    return


async def _close(pool: Pool, patience: float) -> None:
    try:
        await asyncio.wait_for(pool.close(), patience)
    except (TimeoutError, asyncpg.InternalClientError):
        pool.terminate()
