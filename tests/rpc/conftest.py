from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from structlog.contextvars import clear_contextvars, merge_contextvars
from structlog.testing import capture_logs

from tests.rpc.served_rpc import Served, serve


@pytest.fixture
def log_lines() -> Iterator[list[Any]]:
    """Every event logged in this process, with the request id of the task that logged it."""
    with capture_logs(processors=[merge_contextvars]) as lines:
        yield lines


@pytest.fixture(autouse=True)
def _no_request_id() -> Iterator[None]:
    clear_contextvars()
    yield
    clear_contextvars()


@pytest.fixture
async def served(log_lines: list[Any]) -> AsyncIterator[Served]:
    """A server with the suite's interceptor, a client of the suite, and a plain one."""
    async with serve() as running:
        running.log_lines = log_lines
        yield running


@pytest.fixture
async def plain_channel(served: Served) -> AsyncIterator[grpc.aio.Channel]:
    """A channel that knows nothing of the suite's errors, request ids and deadlines."""
    async with grpc.aio.insecure_channel(served.target) as channel:
        yield channel
