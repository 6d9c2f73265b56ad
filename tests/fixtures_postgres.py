"""A real PostgreSQL for tests: one server per pytest process, a fresh database per test."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from libs.database.embedded import EmbeddedPostgres

# Nothing here has to survive a power cut.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB"}

Prepare = Callable[[str], Awaitable[None]]
TemplateDatabase = Callable[[str, Prepare], Awaitable[str]]


class Databases:
    """Creates, copies and drops the databases of one test server; all addresses are the superuser's."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._numbers = count(1)
        self._templates: dict[str, str] = {}
        self._lent: list[str] = []

    async def create(self, template: str = "template0") -> str:
        """Return the DSN of a new database that is dropped after the test."""
        name = f"test_{next(self._numbers)}"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self._lent.append(name)
        return self._server.dsn(name)

    async def copy(self, name: str, prepare: Prepare) -> str:
        """Return the DSN of a copy of the template called name; prepare fills the template when it is first used."""
        if name not in self._templates:
            template = f"template_{next(self._numbers)}"
            await self._execute(f"CREATE DATABASE {template} TEMPLATE template0")
            await prepare(self._server.dsn(template))
            self._templates[name] = template
        return await self.create(self._templates[name])

    async def drop_lent(self) -> None:
        """Drop what was created since the last call, sessions included."""
        while self._lent:
            await self._execute(f"DROP DATABASE {self._lent.pop()} WITH (FORCE)")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server.dsn())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A running server of this pytest process, without durability.

    One per xdist worker: it costs a second and a few dozen megabytes, and no worker depends on the life of another.
    It is not below pytest's own temporary directory, which is closed to the account that runs the server for root.
    """
    directory = Path(tempfile.mkdtemp(prefix="tokhub-test-", dir="/tmp"))
    directory.chmod(0o711)
    try:
        with EmbeddedPostgres(directory / "postgres", settings=_FAST) as server:
            yield server
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def databases(postgres_server: EmbeddedPostgres) -> Databases:
    """The databases of the running server, with their templates."""
    return Databases(postgres_server)


@pytest.fixture
async def fresh_databases(databases: Databases) -> AsyncIterator[Databases]:
    """The same, dropping after each test what the test created."""
    yield databases
    await databases.drop_lent()


@pytest.fixture
async def database_dsn(fresh_databases: Databases) -> str:
    """The superuser's address of an empty database that only this test has."""
    return await fresh_databases.create()


@pytest.fixture
def template_database(fresh_databases: Databases) -> TemplateDatabase:
    """A factory: `await template_database("token", migrate_token)` is the DSN of a migrated database of this test only.

    The second argument is called once per pytest process with the DSN of the template; it must close its connections.
    """
    return fresh_databases.copy
