"""What happens to a PostgreSQL server: crashes, restarts, copies of its data, a standby that takes over."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from libs.database.embedded import EmbeddedPostgres
from libs.database.postgres.account import server_account
from libs.database.postgres.binaries import installed_binaries
from tests.faults.lab import Lab, free_port
from tests.faults.waiting import until


async def crash(postgres: EmbeddedPostgres) -> None:
    """End the server without a checkpoint, as `-m immediate` does: its next start has to recover."""
    os.kill(postgres.process_id, signal.SIGQUIT)

    async def is_gone() -> bool:
        return postgres.exit_code is not None

    await until("the server's end", is_gone)
    await asyncio.to_thread(postgres.stop)


async def restart_fast(postgres: EmbeddedPostgres) -> None:
    """Stop the server in order, cutting sessions, and start it again."""
    await asyncio.to_thread(postgres.stop)
    await asyncio.to_thread(postgres.start)


async def backends(lab: Lab, condition: str = "application_name LIKE 'tokhub-token%'") -> list[int]:
    """Return the processes that serve sessions of the token service."""
    rows = await lab.sql(f"SELECT pid FROM pg_stat_activity WHERE {condition}")
    return [row["pid"] for row in rows]


async def copy_data(lab: Lab) -> None:
    """Copy the database as a night's backup does: stopped, copied, started."""
    await asyncio.to_thread(lab.postgres.stop)
    await asyncio.to_thread(copied, lab.data, lab.data.with_name("yesterday"))
    await asyncio.to_thread(lab.postgres.start)


async def restore_data(lab: Lab) -> None:
    """Put the copy in the place of the database."""
    await asyncio.to_thread(lab.postgres.stop)
    await asyncio.to_thread(shutil.rmtree, lab.data)
    await asyncio.to_thread(copied, lab.data.with_name("yesterday"), lab.data)
    await asyncio.to_thread(lab.postgres.start)


def copied(source: Path, target: Path) -> None:
    """Copy a directory with its owners."""
    command = ("/bin/cp", "-a", source, target)
    subprocess.run(command, check=True)


@dataclass(frozen=True)
class Standby:
    """A server that follows another until it is promoted."""

    data: Path
    port: str

    async def run(self, program: str, *arguments: str, environ: dict[str, str] | None = None) -> None:
        """Run one of PostgreSQL's programs as the account that owns the data."""
        command = server_account(self.data).command(installed_binaries() / "bin" / program, *arguments)
        await asyncio.to_thread(
            subprocess.run,
            command,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", **(environ or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    async def control(self, *arguments: str) -> None:
        """Run pg_ctl."""
        await self.run("pg_ctl", *arguments, "-D", str(self.data), "-w", "-l", f"{self.data}.log")

    async def start(self) -> None:
        """Let it follow."""
        # A standby needs as many connections as its source, which was told on its command line.
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c max_connections=300 -k {self.data.parent}"
        await self.control("start", "-o", options)

    async def stop(self) -> None:
        """End it in order."""
        await self.control("stop", "-m", "fast")

    async def promote(self) -> None:
        """Let it take writes."""
        await self.control("promote")


@asynccontextmanager
async def standby_of(lab: Lab) -> AsyncIterator[Standby]:
    """Yield a running standby of the case's server, made by pg_basebackup, that streams from it."""
    place = lab.data.with_name("standby")
    place.mkdir()
    account = server_account(place / "data")
    account.own(place)
    standby = Standby(place / "data", free_port())
    source = urlsplit(lab.postgres.dsn())
    told = ["-h", "127.0.0.1", "-p", str(source.port), "-U", str(source.username), "-D", str(standby.data)]
    secret = {"PGPASSWORD": source.password or ""}
    await standby.run("pg_basebackup", "-R", "-X", "stream", "-c", "fast", *told, environ=secret)
    await standby.start()
    try:
        yield standby
    finally:
        await standby.stop()


def either(lab: Lab, ports: Sequence[str]) -> str:
    """Return the address of whichever of two servers takes writes."""
    source = urlsplit(lab.postgres.dsn())
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    identity = f"{source.username}:{source.password}"
    return f"postgresql://{identity}@{hosts}{source.path}?target_session_attrs=read-write"
