import asyncio
import sys
from pathlib import Path

import asyncpg
import pytest

from libs.database.migrations import migrate
from libs.errors import ServerMisconfig, StorageUnavailable
from tests.fixtures_postgres import TemplateDatabase

ROOT = Path(__file__).parents[2]

REVISION = """
import time
from alembic import op
revision = "{revision}"
down_revision = {previous}

def upgrade():
    op.execute("CREATE TABLE {table} (id integer PRIMARY KEY)")
    op.execute("SELECT pg_sleep(0.2)")
    {more}
"""

MIGRATE = """
import asyncio, pathlib, sys
from libs.database.migrations import migrate
asyncio.run(migrate(sys.argv[1], pathlib.Path(sys.argv[2]), "credentials"))
"""


def add_revision(tree: Path, revision: str, *, previous: str | None = None, more: str = "pass") -> None:
    text = REVISION.format(revision=revision, previous=repr(previous), table=f"table_{revision}", more=more)
    (tree / "versions" / f"{revision}.py").write_text(text)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A service's migrations with one revision, below a name with a space and a percent sign."""
    tree = tmp_path / "my 100% tree"
    (tree / "versions").mkdir(parents=True)
    add_revision(tree, "0001")
    return tree


async def ask(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_an_empty_database_gets_the_newest_schema(database_dsn: str, tree: Path) -> None:
    add_revision(tree, "0002", previous="0001")
    await migrate(database_dsn, tree, "credentials")
    assert await ask(database_dsn, "SELECT version_num FROM credentials.alembic_version") == "0002"
    assert await ask(database_dsn, "SELECT count(*) FROM credentials.table_0002") == 0


async def test_a_migrated_schema_is_left_as_it_is(database_dsn: str, tree: Path) -> None:
    for _ in range(2):
        await migrate(database_dsn, tree, "credentials")


async def test_replicas_that_start_together_migrate_once(database_dsn: str, tree: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", MIGRATE, database_dsn, str(tree)]
    replicas = [await asyncio.create_subprocess_exec(*command, cwd=ROOT) for _ in range(4)]
    assert [await replica.wait() for replica in replicas] == [0, 0, 0, 0]


async def test_services_keep_their_own_versions(database_dsn: str, tree: Path) -> None:
    await asyncio.gather(*(migrate(database_dsn, tree, schema) for schema in ("credentials", "reporting")))
    assert await ask(database_dsn, "SELECT count(*) FROM pg_tables WHERE tablename = 'alembic_version'") == 2


async def test_a_failed_migration_leaves_nothing(database_dsn: str, tree: Path) -> None:
    add_revision(tree, "0002", previous="0001", more='op.execute("SELECT 1/0")')
    with pytest.raises(Exception, match="division by zero"):
        await migrate(database_dsn, tree, "credentials")
    assert await ask(database_dsn, "SELECT to_regclass('credentials.table_0001')") is None


async def test_a_migration_cut_off_is_unavailable_storage(database_dsn: str, tree: Path) -> None:
    add_revision(tree, "0002", previous="0001", more='op.execute("SELECT pg_terminate_backend(pg_backend_pid())")')
    with pytest.raises(StorageUnavailable):
        await migrate(database_dsn, tree, "credentials")


async def test_a_newer_database_is_refused_with_what_to_run(database_dsn: str, tree: Path) -> None:
    add_revision(tree, "0002", previous="0001")
    await migrate(database_dsn, tree, "credentials")
    (tree / "versions" / "0002.py").unlink()
    with pytest.raises(ServerMisconfig, match=r"credentials .* revision 0002.*git pull && make install"):
        await migrate(database_dsn, tree, "credentials")


async def test_an_index_may_be_built_outside_the_transaction(database_dsn: str, tree: Path) -> None:
    concurrently = 'op.execute("CREATE INDEX CONCURRENTLY late ON table_0002 (id)")'
    more = f"with op.get_context().autocommit_block():\n        {concurrently}"
    add_revision(tree, "0002", previous="0001", more=more)
    await asyncio.gather(*(migrate(database_dsn, tree, "credentials") for _ in range(2)))
    assert await ask(database_dsn, "SELECT to_regclass('credentials.late')::text") == "credentials.late"


async def test_a_template_is_migrated_once_and_copied(template_database: TemplateDatabase, tree: Path) -> None:
    prepared: list[str] = []

    async def prepare(dsn: str) -> None:
        prepared.append(dsn)
        await migrate(dsn, tree, "credentials")

    first, second = [await template_database("test_migrations", prepare) for _ in range(2)]
    await ask(first, "INSERT INTO credentials.table_0001 VALUES (1)")
    assert await ask(second, "SELECT count(*) FROM credentials.table_0001") == 0
    assert len(prepared) == 1
