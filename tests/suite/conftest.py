from collections.abc import AsyncIterator, Iterator

import pytest

from tests.suite.local_suite import SERVING, Home, directory, start


@pytest.fixture
def home() -> Iterator[Home]:
    with directory() as path:
        home = Home(path)
        yield home
        for process in home.processes():
            process.kill()


@pytest.fixture
async def served(home: Home) -> AsyncIterator[Home]:
    """A suite with eight stores, connected and synced, that serves."""
    async with start(home, STORES="8") as suite:
        await suite.until(SERVING)
        yield home
