"""Faults of whoever has the database password of one service, and of the role to report with."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg

from deploy.local.postgres import service_addresses
from deploy.local.secret_files import SecretFiles
from libs.database.dsn import Dsn
from tests.faults.case import case, expect
from tests.faults.lab import Lab

SCHEMAS = {
    "tokhub_token": {"credentials"},
    "tokhub_sync": {"reporting", "tokhub_report"},
    "tokhub_gateway": {"gateway"},
    "tokhub_report": set[str](),
}
RELATIONS = """
SELECT nspname || '.' || relname AS name, nspname AS schema, relkind::text AS kind, (
    SELECT attname FROM pg_attribute
    WHERE attrelid = pg_class.oid AND attnum > 0 AND attgenerated = '' AND attidentity = '' LIMIT 1) AS "column"
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = ANY ($1) AND relkind IN ('r', 'p', 'v', 'm') ORDER BY 1
"""
ATTEMPTS = {
    "SELECT": "SELECT * FROM {name} LIMIT 1",
    "INSERT": "INSERT INTO {name} DEFAULT VALUES",
    "UPDATE": 'UPDATE {name} SET "{column}" = "{column}"',
    "DELETE": "DELETE FROM {name}",
    "TRUNCATE": "TRUNCATE {name}",
}


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A table or view."""

    name: str
    schema: str
    kind: str
    column: str


Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def session_of(address: str) -> AsyncIterator[Session]:
    """Yield a session of whoever has this address."""
    session = await asyncpg.connect(address)
    try:
        yield session
    finally:
        await session.close()


async def let(session: Session, statement: str) -> bool:
    """Return whether a role may do something, which is then undone."""
    await session.execute("BEGIN")
    try:
        await session.execute(statement)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError):
        return False
    except asyncpg.PostgresError:
        # It was let, and failed for what is in the table.
        return True
    else:
        return True
    finally:
        await session.execute("ROLLBACK")


async def may(session: Session, relations: list[Relation]) -> set[tuple[str, str]]:
    """Return what a role may do with which relation."""
    return {
        (attempt, one.name)
        for one in relations
        for attempt, statement in ATTEMPTS.items()
        # A view is for reading; that most cannot be written to is said before rights are looked at.
        if (attempt == "SELECT" or one.kind != "v")
        and await let(session, statement.format(name=one.name, column=one.column))
    }


async def addresses(lab: Lab) -> Mapping[str, str]:
    """Make the roles as `make run` does, and return the address of each by its name."""
    # Beside the database: what lies with the logs is searched for secrets.
    place = Path(lab.data).with_name("roles")
    files = await service_addresses(lab.dsn, SecretFiles(place, {}))
    own = {"tokhub_token": files.token, "tokhub_sync": files.sync, "tokhub_gateway": files.gateway}
    return {name: file.read_text() for name, file in own.items()} | {
        "tokhub_report": (place / "REPORT_DATABASE_URL").read_text()
    }


async def relations_of(lab: Lab) -> list[Relation]:
    """Return all tables and views of the suite."""
    schemas = sorted(set().union(*SCHEMAS.values()))
    return [Relation(**row) for row in await lab.sql(RELATIONS, schemas)]


@case(
    "S23",
    fault="somebody has the database password of one service, or the one to report with, and tries all there is",
    expected="each role in its own schemas only, the reporting one in its views; the audit trail only grows",
)
async def one_role_each(lab: Lab) -> str:
    lab.certify()
    roles = await addresses(lab)
    expect(
        {name: Dsn.parse(address).user for name, address in roles.items()} == {name: name for name in SCHEMAS}, roles
    )
    replica = await lab.replica(DATABASE_URL=roles["tokhub_token"])
    await lab.connect(replica, "shop-1")
    await replica.ask("shop-1")
    await (await lab.sync(DATABASE_URL=roles["tokhub_sync"])).create_stores("shop-1")
    await lab.gateway(DATABASE_URL=roles["tokhub_gateway"])
    relations = await relations_of(lab)
    expect({one.schema for one in relations} == set().union(*SCHEMAS.values()), relations)
    sessions = {name: await lab.opened.enter_async_context(session_of(address)) for name, address in roles.items()}
    allowed = {name: await may(session, relations) for name, session in sessions.items()}
    for name, found in allowed.items():
        foreign = {what for what in found if what[1].partition(".")[0] not in SCHEMAS[name]}
        expect(name == "tokhub_report" or not foreign, f"{name} may {sorted(foreign)}")
    views = {one.name for one in relations if one.kind == "v"}
    shown = allowed["tokhub_report"]
    expect(bool(shown) and shown <= {("SELECT", view) for view in views}, sorted(shown))
    for name, table in (("tokhub_token", "credentials.audit_calls"), ("tokhub_sync", "reporting.audit_calls")):
        trail = {attempt for attempt, relation in allowed[name] if relation == table}
        expect(trail == {"SELECT", "INSERT"}, f"{name} may {sorted(trail)} {table}")
    tried = await higher(sessions)
    counts = ", ".join(f"{name} {len(found)}" for name, found in allowed.items())
    return (
        f"{len(roles)} roles, {len(relations)} tables and views, {len(ATTEMPTS)} ways each: let {counts}, each in its "
        f"own; audit_calls: INSERT and SELECT; {tried} ways up refused"
    )


async def higher(sessions: Mapping[str, Session]) -> int:
    """Try to become more than a role is; return how many ways were refused."""
    ways = (
        "SELECT rolpassword FROM pg_authid",
        "CREATE ROLE another SUPERUSER",
        "CREATE SCHEMA another",
        "CREATE TABLE public.another ()",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('PG_VERSION')",
        *(f"SET ROLE {other}" for other in SCHEMAS),
    )
    tried = [(name, way) for name in sessions for way in ways if way != f"SET ROLE {name}"]
    open_ways = [(name, way) for name, way in tried if await let(sessions[name], way)]
    expect(not open_ways, open_ways)
    return len(tried)
