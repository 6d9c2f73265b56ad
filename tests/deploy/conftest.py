import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.deploy.compose_file import Compose, read_compose
from tests.deploy.containers import Containers, containers
from tests.deploy.docker_image import Image, build

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def compose() -> Compose:
    return read_compose(ROOT / "docker-compose.yml", ROOT / "deploy/compose/sandbox.env")


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """What the Dockerfile makes; nothing of the checkout is in it but what is copied there."""
    directory = Path(tempfile.mkdtemp(prefix="tokhub-image-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield build(ROOT, directory)
    finally:
        shutil.rmtree(directory)


@pytest.fixture
async def suite(compose: Compose, image: Image) -> AsyncIterator[Containers]:
    if sys.platform != "linux":
        pytest.skip("only Linux has a loopback address for each container")
    async with containers(compose, image) as started:
        yield started
