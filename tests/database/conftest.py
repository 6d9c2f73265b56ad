import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

HOLDER = Path(__file__).parent / "hold_server.py"

Holder = tuple[subprocess.Popen[str], str]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory every account may enter, unlike pytest's own; servers below it leave nothing behind."""
    directory = Path(tempfile.mkdtemp(prefix="tokhub-test-", dir="/tmp"))
    directory.chmod(0o711)
    yield directory
    for link in (path for path in directory.rglob("*") if path.is_symlink()):
        shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(directory)


@pytest.fixture
def hold_server() -> Iterator[Callable[..., Holder]]:
    """Start a process that holds a server; returns it with the server's address."""
    with ExitStack() as stack:

        def hold(*arguments: str | Path) -> Holder:
            command = [sys.executable, HOLDER, *arguments]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            # Leaving it closes the process's input, at which it stops the server in order.
            stack.enter_context(process)
            assert process.stdout is not None
            return process, process.stdout.readline().strip()

        yield hold
