"""A full disk under a PostgreSQL server, two ways, without filling one of the machine's own."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from libs.database.postgres.account import server_account
from tests.faults.case import expect
from tests.faults.lab import Lab

SMALL_DISK = "48m"
# A file of the write-ahead log, 16 MB, still fits.
LARGEST_FILE = 20 * 1024 * 1024
REFUSALS = 300  # more than rows fit on a page: a refused one uses its place up
UNLIMITED = "unlimited"

MOVE = """
    CREATE TABLESPACE small LOCATION '{}';
    ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE small;
    ALTER INDEX ALL IN TABLESPACE pg_default SET TABLESPACE small;
    CREATE TABLE credentials.filler (body text) TABLESPACE small;
    ALTER TABLE credentials.filler ALTER body SET STORAGE PLAIN;
"""
FILL = "INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, $1::int)"
FILL_EVENTS = "INSERT INTO connection_events (kind) SELECT 'VERIFIED' FROM generate_series(1, $1::int)"


@asynccontextmanager
async def small_disk(lab: Lab) -> AsyncIterator[None]:
    """Let the service's tables live on a disk of a few megabytes; afterwards the server is stopped."""
    expect(os.geteuid() == 0, "not tried: only root can mount a small file system")
    directory = lab.data.with_name("small")
    with mounted(directory):
        server_account(lab.data).own(directory)
        for statement in MOVE.format(directory).split(";")[:-1]:
            await lab.sql(statement)
        try:
            yield
        finally:
            await asyncio.to_thread(lab.postgres.stop)


@contextmanager
def mounted(directory: Path) -> Iterator[None]:
    """Mount a small file system in memory."""
    directory.mkdir()
    subprocess.run(("/bin/mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", directory), check=True)
    try:
        yield
    finally:
        subprocess.run(("/bin/umount", directory), check=True)


async def fill(lab: Lab) -> str:
    """Fill the small disk, then the last page of the events with rows shorter than any other; return the SQLSTATE."""
    for rows in (1000, 1):
        await until_refused(lab, FILL, rows)
    return await until_refused(lab, FILL_EVENTS, 1)


async def free(lab: Lab) -> None:
    """Free the small disk."""
    await lab.sql("DROP TABLE filler")


async def fill_file(lab: Lab) -> str:
    """Let no file of the server become larger and fill that of the events; return the SQLSTATE."""
    limit_files(lab, LARGEST_FILE)
    await until_refused(lab, FILL_EVENTS, 5000)
    return await until_refused(lab, FILL_EVENTS, 1)


def limit_files(lab: Lab, largest: int | str) -> None:
    """Limit the size of files for the server and every session, as `ulimit -f` does; as their owner, root may not."""
    server, account = lab.postgres.process_id, server_account(lab.data)
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    for process in (server, *children):
        command = account.command("/usr/bin/prlimit", f"--pid={process}", f"--fsize={largest}:")
        subprocess.run(command, check=True)


async def until_refused(lab: Lab, statement: str, value: int) -> str:
    """Repeat a statement until it is refused for good, an index may be full before its table; return the SQLSTATE."""
    database = await asyncpg.connect(lab.dsn, server_settings={"search_path": "credentials"})
    refused, state = 0, ""
    while refused < REFUSALS:
        try:
            await database.execute(statement, value)
            refused = 0
        except asyncpg.PostgresError as error:
            refused, state = refused + 1, str(error.sqlstate)
    await database.close()
    return state
