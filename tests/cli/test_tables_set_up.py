import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.cli.operator_seat import OperatorSeat


def set_up(place: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (sys.executable, "-m", "cli", "db", "setup"),
        cwd=place,
        env={"PATH": os.environ["PATH"], "HOME": str(place), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


async def tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch("SELECT schemaname || '.' || tablename AS name FROM pg_tables")
    finally:
        await connection.close()
    return {row["name"] for row in found}


async def test_an_empty_database_gets_all_tables(database_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "address").write_text(database_dsn)
    for _ in range(2):
        ended = set_up(tmp_path, HP_marketplace_db_ddl_FILE=str(tmp_path / "address"))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert [line.split()[2] for line in ended.stdout.splitlines()] == ["credentials", "reporting", "gateway"]
    assert {"credentials.connections", "reporting.stores", "gateway.lockouts"} <= await tables(database_dsn)


def test_a_database_that_is_away_ends_it_at_once(tmp_path: Path) -> None:
    ended = set_up(tmp_path, DATABASE_URL="postgresql://me:secret-word@127.0.0.1:1/nothing")
    assert (ended.returncode, ended.stdout) == (75, "")
    assert "The schema credentials could not be set up" in ended.stderr
    assert "secret-word" not in ended.stderr


def test_a_suite_that_serves_has_its_tables(seat: OperatorSeat) -> None:
    assert "Both services serve" in seat.says("db", "setup")
    assert seat.run("db", "setup", SYNC_TARGET="127.0.0.1:1").returncode == 75


async def test_a_service_without_its_database_is_not_said_to_have_its_tables(tmp_path: Path) -> None:
    server, states = grpc.aio.server(), health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    await states.set("database", health_pb2.HealthCheckResponse.NOT_SERVING)
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        ended = await asyncio.to_thread(set_up, tmp_path, TOKEN_TARGET=target, SYNC_TARGET=target)
    finally:
        await server.stop(None)
    assert (ended.returncode, ended.stdout) == (75, "")
    assert "The token service cannot use its database" in ended.stderr
