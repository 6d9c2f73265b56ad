import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from libs.database.embedded import EmbeddedPostgres
from libs.database.postgres.account import server_account
from libs.database.postgres.process import _command_line, _pid_file, _serves

FAST = {"fsync": "off"}

Hold = Callable[..., tuple[subprocess.Popen[str], str]]


async def write(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()


async def read(dsn: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval("SELECT answer FROM kept")
    finally:
        await connection.close()


def server_of(directory: Path) -> int:
    file = _pid_file(directory / "data")
    assert file is not None
    return file.pid


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def guard_of(directory: Path) -> int:
    mark = os.fsencode(f"tokhub-postgres-guard {server_of(directory)} ")
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return next(number for number in numbers if mark in _command_line(number))


@pytest.fixture
def directory(open_directory: Path) -> Path:
    return open_directory / "postgres"


@pytest.fixture
def stranger(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the server's account that is no server."""
    account = server_account(directory / "data")
    with subprocess.Popen(["/bin/sleep", "60"], cwd="/", user=account.user, group=account.group) as process:
        yield process
        process.kill()


async def test_the_server_ends_with_its_killed_parent(directory: Path, hold_server: Hold) -> None:
    parent, dsn = hold_server(directory)
    await write(dsn)
    server = server_of(directory)
    parent.kill()
    wait_until(lambda: not _serves(server, directory / "data"))
    with EmbeddedPostgres(directory, settings=FAST) as again:
        assert await read(again.dsn()) == 42


async def test_an_orphan_is_stopped_at_the_next_start(directory: Path, hold_server: Hold) -> None:
    parent, dsn = hold_server(directory)
    await write(dsn)
    orphan = server_of(directory)
    os.kill(guard_of(directory), signal.SIGKILL)
    parent.kill()
    parent.wait()
    assert _serves(orphan, directory / "data")
    with EmbeddedPostgres(directory, settings=FAST) as again:
        assert not _serves(orphan, directory / "data")
        assert again.dsn() == dsn
        assert await read(again.dsn()) == 42


async def test_a_killed_server_starts_again_with_its_data(directory: Path) -> None:
    server = EmbeddedPostgres(directory)
    with server:
        await write(server.dsn())
        os.kill(server.process_id, signal.SIGKILL)
        wait_until(lambda: server.exit_code == -signal.SIGKILL)
    with server:
        assert await read(server.dsn()) == 42


async def test_a_busy_backend_of_a_killed_server_is_waited_for(directory: Path) -> None:
    server = EmbeddedPostgres(directory, settings=FAST)
    with server:
        await write(server.dsn())
        connection = await asyncpg.connect(server.dsn())
        await connection.execute("SET statement_timeout = '1s'")
        busy = asyncio.create_task(connection.execute("SELECT count(*) FROM generate_series(1, 1000000000)"))
        await asyncio.sleep(0.1)
        os.kill(server.process_id, signal.SIGKILL)
    with server:
        assert await read(server.dsn()) == 42
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await busy


async def test_a_reused_process_number_is_left_alone(directory: Path, stranger: subprocess.Popen[bytes]) -> None:
    server = EmbeddedPostgres(directory, settings=FAST)
    with server:
        await write(server.dsn())
        os.kill(server.process_id, signal.SIGKILL)
    pid_file = directory / "data" / "postmaster.pid"
    pid_file.write_text("\n".join([str(stranger.pid), *pid_file.read_text().splitlines()[1:], ""]))
    with server:
        assert await read(server.dsn()) == 42
    assert stranger.poll() is None
