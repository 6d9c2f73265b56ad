"""Reads another system's database and cannot write to it."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from cli.moving.old_tables import Record
from libs.errors import StorageUnavailable
from libs.secret import Secret
from libs.settings import WrongSetting

APPLICATION = "tokhub-import"
PATIENCE = 30.0  # seconds
AWAY = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

# Programs of tokhub may share the database; for a session of another role its kind may not be told.
SESSIONS = """
    SELECT coalesce(application_name, '') AS program, coalesce(usename, '') AS role,
        coalesce(client_addr::text, '') AS address
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND coalesce(backend_type, 'client backend') = 'client backend'
      AND coalesce(application_name, '') NOT LIKE 'tokhub%'
    ORDER BY program, role
"""
# The server writes the statement: it quotes names as it reads them.
READ = "SELECT format('SELECT to_jsonb(old) FROM %s AS old ORDER BY %I', $1::text::regclass, $2::text)"
COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"


@dataclass(frozen=True, kw_only=True)
class Session:
    """Somebody who uses the database; what is not told is empty."""

    program: str
    role: str
    address: str


class OldDatabase:
    """A session that reads."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def records(self, table: str, columns: Sequence[str], order: str) -> Sequence[Record]:
        """Return all rows of a table; raise WrongSetting when it is not there or lacks a column."""
        with old_database_errors():
            async with self._connection.transaction(readonly=True):
                await self._require(table, columns)
                rows = await self._connection.fetch(await self._connection.fetchval(READ, table, order))
        return [json.loads(row[0]) for row in rows]

    async def sessions(self) -> Sequence[Session]:
        """Return who else uses the database."""
        with old_database_errors():
            async with self._connection.transaction(readonly=True):
                return [Session(**row) for row in await self._connection.fetch(SESSIONS)]

    async def _require(self, table: str, columns: Sequence[str]) -> None:
        if await self._connection.fetchval("SELECT to_regclass($1)", table) is None:
            raise WrongSetting(f"the old database has no table {table}: say what it is called with --table")
        there = {row[0] for row in await self._connection.fetch(COLUMNS, table)}
        if lacking := [column for column in columns if column not in there]:
            raise WrongSetting(f"the table {table} of the old database lacks the column {', '.join(lacking)}")


def read_address(path: Path) -> Secret:
    """Return the address that a file holds; raise WrongSetting."""
    try:
        return Secret(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSetting(f"--database-file cannot be read: {type(error).__name__} at {path}") from None


@asynccontextmanager
async def open_old_database(address: Secret) -> AsyncIterator[OldDatabase]:
    """Yield the database at an address; raise WrongSetting or StorageUnavailable, neither with the address."""
    with old_database_errors():
        connection: Any = await asyncpg.connect(
            address.reveal(),
            timeout=PATIENCE,
            command_timeout=PATIENCE,
            # A pooler in between hands sessions on: nothing is prepared in one, and nothing is set.
            statement_cache_size=0,
            server_settings={"application_name": APPLICATION},
        )
    try:
        yield OldDatabase(connection)
    finally:
        connection.terminate()


@contextmanager
def old_database_errors() -> Iterator[None]:
    """Turn what the driver raises into a wrong setting, or into a database that is away."""
    try:
        yield
    except (ValueError, asyncpg.PostgresError, *AWAY) as error:
        # What is wrong with an address is an error of the interface too.
        if isinstance(error, AWAY) and not isinstance(error, ValueError):
            message = "The old database cannot be reached: look at the address in the file of --database-file."
            raise StorageUnavailable(message) from None
        word = type(error).__name__
        raise WrongSetting(f"the old database refuses what the file of --database-file asks for: {word}") from None
