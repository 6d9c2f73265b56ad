"""A sync service's neighbours, real ones, over a database of each test's own."""

from collections.abc import AsyncIterator

import pytest

from tests.fixtures_postgres import TemplateDatabase
from tests.fixtures_sandbox import SandboxProcess
from tests.sync.living_suite import LivingSuite, Replica, living_suite, migrate_both


@pytest.fixture
async def suite(template_database: TemplateDatabase, sandbox: SandboxProcess) -> AsyncIterator[LivingSuite]:
    """The neighbours of a sync service."""
    dsn = await template_database("token and sync", migrate_both)
    async with living_suite(dsn, sandbox) as living:
        yield living


@pytest.fixture
async def replica(suite: LivingSuite) -> AsyncIterator[Replica]:
    """A running sync service."""
    async with suite.replica() as running:
        yield running
