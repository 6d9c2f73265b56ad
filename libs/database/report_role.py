"""The role that people report with: it reads the views it is shown, and nothing else."""

from collections.abc import Sequence

import asyncpg
import structlog

from libs.database.errors import storage_errors

ROLE = "tokhub_report"
_LOCK = 0x746F6B727074  # grants on one object at the same moment fail; services that start together take turns
_COLLISIONS = (asyncpg.UniqueViolationError, asyncpg.DuplicateObjectError)
_MAY_CREATE = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"

log = structlog.get_logger()


async def show_to_reports(dsn: str, views: Sequence[str]) -> None:
    """Let the role read these views, each named with its schema; a log line when there is no role to let.

    The role is created, without a way to log in, where the server permits it.
    """
    with storage_errors():
        connection = await asyncpg.connect(dsn)
        try:
            if await _role_is_there(connection):
                await _grant(connection, views)
            else:
                log.warning(
                    "nobody can report with SQL: create the role and start the services again",
                    statement=f"CREATE ROLE {ROLE} LOGIN",
                )
        finally:
            await connection.close()


async def _role_is_there(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    there = "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)"
    if not await connection.fetchval(there, ROLE) and await connection.fetchval(_MAY_CREATE):
        try:
            await connection.execute(f"CREATE ROLE {ROLE} NOLOGIN")
            await connection.execute(f"ALTER ROLE {ROLE} SET default_transaction_read_only = on")
        except _COLLISIONS:
            log.debug("another service created the role at the same moment", role=ROLE)
    return bool(await connection.fetchval(there, ROLE))


async def _grant(connection: "asyncpg.Connection[asyncpg.Record]", views: Sequence[str]) -> None:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        for schema in sorted({view.partition(".")[0] for view in views}):
            if not await connection.fetchval("SELECT has_schema_privilege($1, $2, 'USAGE')", ROLE, schema):
                await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}")
        for view in views:
            if not await connection.fetchval("SELECT has_table_privilege($1, $2, 'SELECT')", ROLE, view):
                await connection.execute(f"GRANT SELECT ON {view} TO {ROLE}")
