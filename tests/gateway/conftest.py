from collections.abc import AsyncIterator

import pytest

from tests.gateway.served import Gateway, serve_suite


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway on a real socket before in-memory services on real gRPC sockets."""
    async with serve_suite() as served:
        yield served
