import asyncio
from uuid import uuid4

import asyncpg
import pytest

from libs.database.dsn import Dsn
from libs.database.roles import ServiceRole, ensure_roles
from libs.secret import Secret
from tests.fixtures_postgres import Databases


@pytest.fixture
def roles() -> list[ServiceRole]:
    """Two services; roles belong to the whole server, so that each test has its own."""
    run = uuid4().hex[:8]
    return [
        ServiceRole(name=f"tokhub_token_{run}", schemas=("credentials",), password=Secret("token's pass/word")),
        ServiceRole(name=f"tokhub_sync_{run}", schemas=("reporting",), password=Secret("sync's pass/word")),
    ]


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def administrator(database_dsn: str, name: str, rights: str) -> str:
    """An owner of the database who is no superuser, as hosted servers give."""
    await execute(
        database_dsn,
        f"CREATE ROLE {name} LOGIN PASSWORD 'given' {rights}",
        f"ALTER DATABASE {Dsn.parse(database_dsn).database} OWNER TO {name}",
    )
    return Dsn.parse(database_dsn).as_role(name, "given").reveal()


async def test_a_service_works_in_its_own_schema(database_dsn: str, roles: list[ServiceRole]) -> None:
    dsns = await ensure_roles(database_dsn, roles)
    await execute(dsns[roles[0].name], "CREATE TABLE credentials.secrets ()", "SELECT * FROM credentials.secrets")


async def test_a_service_cannot_read_the_other_schema(database_dsn: str, roles: list[ServiceRole]) -> None:
    dsns = await ensure_roles(database_dsn, roles)
    for reader, owner in ((roles[0], roles[1]), (roles[1], roles[0])):
        await execute(dsns[owner.name], f"CREATE TABLE {owner.schemas[0]}.own ()")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(dsns[reader.name], f"TABLE {owner.schemas[0]}.own")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(dsns[reader.name], f"SET ROLE {owner.name}")


async def test_roles_set_up_at_the_same_moment_are_fine(fresh_databases: Databases, roles: list[ServiceRole]) -> None:
    two = [await fresh_databases.create() for _ in range(2)]
    await asyncio.gather(*(ensure_roles(dsn, roles) for dsn in two * 3))


async def test_a_new_password_replaces_the_old(database_dsn: str, roles: list[ServiceRole]) -> None:
    old = await ensure_roles(database_dsn, roles[:1])
    renewed = ServiceRole(name=roles[0].name, schemas=roles[0].schemas, password=Secret("renewed"))
    new = await ensure_roles(database_dsn, [renewed])
    await execute(new[renewed.name], "SELECT 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await execute(old[renewed.name], "SELECT 1")


async def test_an_administrator_with_createrole_suffices(database_dsn: str, roles: list[ServiceRole]) -> None:
    admin = await administrator(database_dsn, f"admin_{uuid4().hex[:8]}", "CREATEROLE")
    for _ in range(2):
        dsns = await ensure_roles(admin, roles)
    await execute(dsns[roles[1].name], "CREATE TABLE reporting.own ()")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await execute(dsns[roles[1].name], "CREATE TABLE credentials.theirs ()")


async def test_without_the_right_all_use_the_administrator(database_dsn: str, roles: list[ServiceRole]) -> None:
    admin = await administrator(database_dsn, f"admin_{uuid4().hex[:8]}", "NOCREATEROLE")
    assert await ensure_roles(admin, roles) == {role.name: admin for role in roles}


async def test_a_schema_of_somebody_else_keeps_its_owner(database_dsn: str, roles: list[ServiceRole]) -> None:
    await execute(database_dsn, "CREATE SCHEMA credentials")
    dsns = await ensure_roles(database_dsn, roles)
    assert dsns[roles[0].name] == database_dsn
    assert dsns[roles[1].name] != database_dsn
