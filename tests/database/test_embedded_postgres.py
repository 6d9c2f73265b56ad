import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from libs.database.embedded import EmbeddedPostgres
from libs.database.postgres.process import _command_line
from libs.errors import ServerMisconfig

FAST = {"fsync": "off"}


async def ask(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def names_in(directory: str) -> list[str]:
    return [path.name for path in Path(directory).glob("*")]


async def test_a_new_directory_becomes_a_running_server(open_directory: Path) -> None:
    with EmbeddedPostgres(open_directory / "postgres") as server:
        assert await ask(server.dsn(), "SELECT current_setting('fsync') || current_database()") == "ontokhub"


async def test_the_server_never_runs_as_root(open_directory: Path) -> None:
    with EmbeddedPostgres(open_directory / "postgres", settings=FAST):
        assert (open_directory / "postgres" / "data" / "postmaster.pid").stat().st_uid != 0


async def test_a_plain_user_runs_a_server(open_directory: Path, hold_server: Callable[..., tuple[object, str]]) -> None:
    directory = open_directory / "own" / "postgres"
    directory.parent.mkdir()
    _, dsn = hold_server(directory, *(["nobody"] if os.geteuid() == 0 else []))
    assert await ask(dsn, "SELECT 1") == 1
    assert (directory / "password").stat().st_uid == (directory / "data").stat().st_uid != 0


async def test_a_long_path_gets_a_short_socket(open_directory: Path) -> None:
    directory = open_directory / ("long" * 20) / ("path" * 20) / "postgres"
    with EmbeddedPostgres(directory, settings=FAST) as server:
        sockets = str(await ask(server.dsn(), "SHOW unix_socket_directories")).strip('"')
        assert f".s.PGSQL.{server.port}" in names_in(sockets)
    assert names_in(sockets) == []


async def test_spaces_quotes_and_umlauts_are_fine_in_a_path(open_directory: Path) -> None:
    with EmbeddedPostgres(open_directory / 'Ünser "Shop", 100 %' / "my postgres", settings=FAST) as server:
        assert await ask(server.dsn(), "SELECT 'ü'") == "ü"


async def test_a_closed_parent_stays_closed(open_directory: Path) -> None:
    closed = open_directory / "home"
    closed.mkdir(mode=0o700)
    for _ in range(2):
        with EmbeddedPostgres(closed / ".tokhub" / "postgres", settings=FAST) as server:
            await ask(server.dsn(), "CREATE TABLE IF NOT EXISTS kept ()")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


async def test_the_address_outlives_a_restart(open_directory: Path) -> None:
    server = EmbeddedPostgres(open_directory / "postgres", settings=FAST)
    with server:
        before = server.dsn()
    with server:
        assert server.dsn() == before


async def test_a_taken_port_is_replaced(open_directory: Path) -> None:
    server = EmbeddedPostgres(open_directory / "postgres", settings=FAST)
    with server:
        port = server.port
    with socket.create_server(("127.0.0.1", port)), server:
        assert server.port != port


async def test_a_second_holder_is_refused_by_name(
    open_directory: Path, hold_server: Callable[..., tuple[object, str]]
) -> None:
    hold_server(open_directory / "postgres")
    with pytest.raises(ServerMisconfig, match=r"in use by process \d+.*stop that first"):
        EmbeddedPostgres(open_directory / "postgres").start()


async def test_an_interrupted_creation_starts_over(open_directory: Path) -> None:
    remains = open_directory / "postgres" / "data.new"
    remains.mkdir(parents=True)
    (remains / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(open_directory / "postgres", settings=FAST) as server:
        assert await ask(server.dsn(), "SELECT 1") == 1


async def test_the_password_is_private_and_required(open_directory: Path) -> None:
    with EmbeddedPostgres(open_directory / "postgres", settings=FAST) as server:
        file = open_directory / "postgres" / "password"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_bytes() not in _command_line(server.process_id)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn(), password="wrong")


async def test_data_of_another_major_version_is_refused(open_directory: Path) -> None:
    server = EmbeddedPostgres(open_directory / "postgres", settings=FAST)
    with server:
        pass
    (open_directory / "postgres" / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(ServerMisconfig, match=r"made by PostgreSQL 16.*brings 18: dump it"):
        server.start()


async def test_a_setting_postgres_refuses_is_reported(open_directory: Path) -> None:
    with pytest.raises(ServerMisconfig, match=r"did not start.*max_connections"):
        EmbeddedPostgres(open_directory / "postgres", settings={**FAST, "max_connections": "many"}).start()
