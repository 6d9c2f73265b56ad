import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
from rich.console import Console

from deploy.local.start import running
from deploy.local.state import is_free
from deploy.local.supervision import Supervisor
from deploy.local.watching import Revive, watching
from libs.database.embedded import EmbeddedPostgres
from tests.suite.local_suite import SERVING, Home, all_gone, directory, start
from tests.suite.test_local_suite import healthy


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with directory() as path:
        path.chmod(0o711)
        with EmbeddedPostgres(path / "postgres", settings={"fsync": "off"}) as server:
            yield server


@asynccontextmanager
async def watched(server: EmbeddedPostgres) -> AsyncIterator[tuple[Revive, list[str]]]:
    said: list[str] = []
    async with watching(server, said.append) as revive:
        yield revive, said


def kill(server: EmbeddedPostgres) -> None:
    """Kill the server and return when it has ended, before whoever watches it can notice."""
    os.kill(server.process_id, signal.SIGKILL)
    while server.exit_code is None:
        time.sleep(0.01)


async def answers(dsn: str) -> bool:
    for _ in range(300):
        try:
            connection = await asyncpg.connect(dsn)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.05)
            continue
        await connection.close()
        return True
    return False


async def test_a_killed_server_comes_back_at_its_address(server: EmbeddedPostgres) -> None:
    dsn, log = server.dsn(), server.log
    async with watched(server) as (revive, said):
        for _ in range(2):
            kill(server)
            # It may answer before the one who starts it has noticed: only then can it be killed again.
            await revive()
            assert await answers(dsn)
    assert len(said) == 2
    assert said[0].startswith("PostgreSQL was ended by SIGKILL; starting it again in ")
    assert said[0].endswith(f"Its log: {log}")


async def test_whoever_stops_finds_the_server_running(server: EmbeddedPostgres) -> None:
    dsn = server.dsn()
    async with watched(server) as (revive, _):
        kill(server)
        await revive()
        connection = await asyncpg.connect(dsn)
        await connection.close()


async def test_the_database_is_back_before_the_programs_end(tmp_path: Path) -> None:
    order: list[str] = []

    class Programs(Supervisor):
        async def end_all(self) -> None:
            order.append("programs end")

    async def revive() -> None:
        order.append("database is back")

    async with running(Programs(state=tmp_path, say=order.append), revive, Console(quiet=True)):
        pass
    assert order == ["database is back", "programs end"]


async def test_a_taken_port_is_waited_for_and_named(server: EmbeddedPostgres) -> None:
    dsn, port = server.dsn(), server.port
    async with watched(server) as (_, said):
        kill(server)
        with await taken(port):
            await eventually(lambda: len(said) > 1)
        assert f"its port {port} is taken by another program" in said[1]
        assert await answers(dsn)


async def taken(port: int) -> socket.socket:
    await eventually(lambda: is_free(port))
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind(("127.0.0.1", port))
    other.listen()
    return other


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never comes to that")


async def test_a_suite_heals_when_its_database_is_killed(home: Home) -> None:
    async with start(home, STORES="0") as suite:
        await suite.until(SERVING)
        database(home).kill()
        await suite.until("PostgreSQL was ended by SIGKILL; starting it again")
        assert await answers(home.admin_dsn)
        await healthy(home)


async def test_a_stop_without_database_brings_it_back_first(home: Home) -> None:
    async with start(home, STORES="0") as suite:
        await suite.until(SERVING)
        database(home).kill()
        suite.process.terminate()
        assert await suite.ended() == 0
    said = "".join(suite.said)
    assert "PostgreSQL was ended by SIGKILL; starting it again" in said
    assert "still down" not in said
    assert await all_gone(home, within=2)


def database(home: Home) -> psutil.Process:
    """The main process of a suite's database."""
    pid_file = (home.state / "postgres").resolve() / "data" / "postmaster.pid"
    return psutil.Process(int(pid_file.read_text().splitlines()[0]))
