"""Gives each service a role that owns its schemas and nothing else, where the server lets us."""

import asyncio
import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from libs.database.dsn import Dsn
from libs.database.errors import storage_errors
from libs.secret import Secret

log = structlog.get_logger()

_LOCK = 0x746F6B726F6C
# Roles belong to the whole server, the lock to one database: another database's set-up may still come between.
_ATTEMPTS = 5
_COLLISIONS = (asyncpg.UniqueViolationError, asyncpg.DuplicateObjectError, asyncpg.InternalServerError)
_SCRAM_ROUNDS = 4096  # PostgreSQL's scram_iterations

_MAY_CREATE = """
SELECT (rolsuper OR rolcreaterole) AND has_database_privilege(current_database(), 'CREATE')
FROM pg_roles WHERE rolname = current_user
"""
_OWNER = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = $1"


@dataclass(frozen=True)
class ServiceRole:
    """A role to log in as, and the schemas that it owns; one without any is there to read what it is shown."""

    name: str
    schemas: tuple[str, ...]
    password: Secret


async def ensure_roles(admin_dsn: str, roles: Sequence[ServiceRole]) -> dict[str, str]:
    """Create what is missing and return the DSN to use for each role's name.

    Repeating it, also at the same moment elsewhere, does no harm; each call sets the passwords. Where the server does
    not permit it, or a schema belongs to somebody else, the DSN is the administrator's and the log says so.
    """
    with storage_errors():
        connection = await asyncpg.connect(admin_dsn)
        try:
            return await _ensure(connection, Dsn.parse(admin_dsn), roles)
        finally:
            await connection.close()


async def _ensure(
    connection: "asyncpg.Connection[asyncpg.Record]", admin: Dsn, roles: Sequence[ServiceRole]
) -> dict[str, str]:
    if not await connection.fetchval(_MAY_CREATE):
        log.warning(
            "services share one database role: grant CREATEROLE and CREATE on the database to separate them",
            role=admin.user,
            database=admin.database,
        )
        return {role.name: admin.reveal() for role in roles}
    await _create_all(connection, roles)
    return {role.name: await _dsn_for(connection, admin, role) for role in roles}


async def _create_all(connection: "asyncpg.Connection[asyncpg.Record]", roles: Sequence[ServiceRole]) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                for role in roles:
                    await _create(connection, role)
        except _COLLISIONS:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(0.05 * (attempt + 1))
        else:
            return


async def _create(connection: "asyncpg.Connection[asyncpg.Record]", role: ServiceRole) -> None:
    name, verifier = _quoted(role.name), _scram_verifier(role.password.reveal())
    if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role.name):
        await connection.execute(f"ALTER ROLE {name} LOGIN PASSWORD '{verifier}'")
    else:
        await connection.execute(
            f"CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{verifier}'",
        )
    if not await connection.fetchval("SELECT pg_has_role($1, 'USAGE')", role.name):
        # Only a member may hand a schema to a role; a superuser counts as a member of all.
        await connection.execute(f"GRANT {name} TO CURRENT_USER")
    if not role.schemas:
        await connection.execute(f"ALTER ROLE {name} SET default_transaction_read_only = on")
    for schema in role.schemas:
        if await connection.fetchval(_OWNER, schema) is None:
            await connection.execute(f"CREATE SCHEMA {_quoted(schema)} AUTHORIZATION {name}")


async def _dsn_for(connection: "asyncpg.Connection[asyncpg.Record]", admin: Dsn, role: ServiceRole) -> str:
    for schema in role.schemas:
        owner = await connection.fetchval(_OWNER, schema)
        if owner != role.name:
            log.warning(
                "a schema keeps its owner, so its service uses the administrator's role: hand over the schema and all "
                "in it",
                schema=schema,
                owner=owner,
                role=role.name,
            )
            return admin.reveal()
    return admin.as_role(role.name, role.password.reveal()).reveal()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _scram_verifier(password: str) -> str:
    """Return what the server would store, so that no log or statistics view sees the password; RFC 5803."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(_SCRAM_ROUNDS, *parts)
