import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.operator_seat import STORES, OperatorSeat, seat_beside
from tests.suite.local_suite import SERVING, Home, directory


@pytest.fixture(scope="session")
def seat() -> Iterator[OperatorSeat]:
    """Beside a suite with a few stores that are connected and synced; it serves all tests of this process."""
    with suite() as seat:
        yield seat


@pytest.fixture(scope="session")
def crowded_seat() -> Iterator[OperatorSeat]:
    """Beside a suite of its own, for tests that leave hundreds of stores behind."""
    with suite() as seat:
        yield seat


@contextmanager
def suite() -> Iterator[OperatorSeat]:
    """A seat beside a suite that ends with it."""
    with directory() as path:
        home = Home(path, SANDBOX_SELLERS="60", SANDBOX_SHOP_RATE_LIMIT="1000000", REFRESH_AHEAD_CONCURRENCY="0")
        with subprocess.Popen(
            (sys.executable, "-m", "deploy.local"),
            cwd=path,
            env={**home.environment, "STORES": str(STORES)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        ) as process:
            assert process.stdout
            said = ""
            try:
                while SERVING not in said:
                    line = process.stdout.readline()
                    assert line, said
                    said += line
                with seat_beside(home) as seat:
                    yield seat
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=90)
