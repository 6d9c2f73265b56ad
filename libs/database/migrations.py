"""Brings a service's schema to this release's revision, once, however many replicas start together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from libs.database import alembic_environment
from libs.database.errors import storage_errors
from libs.errors import ServerMisconfig, StorageUnavailable

# One lock for all schemas of a database: migrations are rare, and those of two services may touch shared catalogs.
_LOCK = 0x746F6B687562
_LOCK_SECONDS = 60
_RETRY_SECONDS = 0.1


async def migrate(dsn: str, script_location: Path, schema: str) -> None:
    """Create the schema if needed and upgrade it to the newest revision in `script_location/versions`.

    Each schema has its own `alembic_version`, and unqualified names in a migration mean the schema. All pending
    revisions commit together. ServerMisconfig when the database is ahead of this release; StorageUnavailable when it
    cannot be reached or another replica's migration takes longer than a minute.
    """
    with storage_errors():
        async with _connected(dsn, schema) as connection:
            await _lock(connection)
            await _create_schema(connection, schema)
            await connection.commit()
            await connection.run_sync(_upgrade, script_location, schema)


@asynccontextmanager
async def _connected(dsn: str, schema: str) -> AsyncIterator[AsyncConnection]:
    settings = {
        "application_name": f"tokhub-migrate-{schema}",
        "search_path": schema,
        # While a migration waits for a table, everybody else who wants that table waits behind it.
        "lock_timeout": "10s",
        "statement_timeout": "0",
        "timezone": "UTC",
    }

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(dsn, server_settings=settings)

    # The driver reads the address itself: SQLAlchemy would pass sslmode and other options on as unknown arguments.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        yield connection


async def _lock(connection: AsyncConnection) -> None:
    # Of the session, so that a migration may leave the transaction, and asked for again and again: an index that is
    # built concurrently waits for every open transaction, also for one that waits for this lock.
    try:
        async with asyncio.timeout(_LOCK_SECONDS):
            while not await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
                await connection.rollback()
                await asyncio.sleep(_RETRY_SECONDS)
    except TimeoutError:
        raise StorageUnavailable(
            f"Another process has migrated this database for {_LOCK_SECONDS} seconds: start again when it is done."
        ) from None


async def _create_schema(connection: AsyncConnection, schema: str) -> None:
    # IF NOT EXISTS alone would ask for the right to create schemas even where there is nothing to create.
    found = await connection.scalar(text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": schema})
    if found is None:
        await connection.execute(CreateSchema(schema))


def _upgrade(connection: Connection, script_location: Path, schema: str) -> None:
    config = _config(script_location)
    config.attributes.update(connection=connection, schema=schema)
    _check_known(connection, ScriptDirectory.from_config(config), schema)
    command.upgrade(config, "head")


def _config(script_location: Path) -> Config:
    config = Config()
    config.set_main_option("path_separator", "newline")
    config.set_main_option("script_location", _escaped(Path(alembic_environment.__path__[0])))
    config.set_main_option("version_locations", _escaped(script_location / "versions"))
    return config


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _check_known(connection: Connection, script: ScriptDirectory, schema: str) -> None:
    context = MigrationContext.configure(connection, opts={"version_table_schema": schema})
    unknown = set(context.get_current_heads()) - {revision.revision for revision in script.walk_revisions()}
    connection.rollback()
    if unknown:
        raise ServerMisconfig(
            f"The schema {schema} of this database is at revision {', '.join(sorted(unknown))}, which this release "
            "does not know: a newer tokhub migrated it. Update this one (`git pull && make install`) and start again."
        )
