from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Page

from tests.console.viewing import READ_KEY, Place, Viewer, place


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def here() -> AsyncIterator[Place]:
    """One suite for all tests of the console."""
    async with place() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def viewer(here: Place) -> AsyncIterator[Viewer]:
    """Somebody whose browser has nothing to complain of."""
    somebody = await here.viewer()
    yield somebody
    assert somebody.complaints == []
    await somebody.context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(here: Place, viewer: Viewer) -> Page:
    """A tab of an operator who may change everything."""
    return await viewer.signed_in(here.admin_key)


@pytest_asyncio.fixture(loop_scope="session")
async def read_only(viewer: Viewer) -> Page:
    """A tab of somebody who may only read."""
    return await viewer.signed_in(READ_KEY)
