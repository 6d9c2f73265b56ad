"""Searches all that a case left behind for secrets: everything the sandbox mints holds the word CNRY."""

import asyncio
import base64
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import httpx

from libs.database.postgres.binaries import installed_binaries
from tests.faults.lab import Lab

WORD = b"CNRY"
PIECE = 12  # bytes; a multiple of three, and too many to be met by chance


async def leaks(lab: Lab) -> Sequence[str]:
    """Return where a secret stands that should not."""
    spelled = [WORD, *spellings(await minted(lab))]
    return await asyncio.to_thread(
        lambda: [name for name, text in left_behind(lab) if any(spelling in text for spelling in spelled)]
    )


async def minted(lab: Lab) -> set[str]:
    """Return every token and code that TikTok gave or was shown."""
    found: set[str] = set()
    after = 0
    while True:
        answer = await asyncio.to_thread(lab.sandbox.control.get, "/sandbox/ledger/events", params={"after": after})
        events = answer.json()["events"]
        if not events:
            return found
        found.update(event["token"] for event in events if event.get("token"))
        after = answer.json()["next_after"]


def spellings(tokens: Iterable[str]) -> Iterator[bytes]:
    """Yield what tokens look like in hex, and in Base64 wherever in a longer text they stand."""
    for token in tokens:
        begin = token.partition("CNRY")[2].encode()
        yield begin[:PIECE].hex().encode()
        yield from (base64.b64encode(begin[shift : shift + PIECE]) for shift in range(3))


def left_behind(lab: Lab) -> Iterator[tuple[str, bytes]]:
    """Yield all that can be read, with a name."""
    for path in files(lab.directory):
        yield path.name, path.read_bytes()
    yield "the database's dump", dump(lab.dsn)
    for replica in lab.replicas:
        if replica.alive:
            process = Path(f"/proc/{replica.process.pid}")
            yield f"command line of {replica.name}", (process / "cmdline").read_bytes()
            yield f"environment of {replica.name}", (process / "environ").read_bytes()
            yield f"metrics of {replica.name}", metrics(replica.metrics_port)


def files(directory: Path) -> Iterator[Path]:
    """Yield a case's files, without those that hold its secrets."""
    return (path for path in directory.rglob("*") if path.is_file() and path.parent.name != "secrets")


def dump(dsn: str) -> bytes:
    """Return the whole database as text."""
    command = [str(installed_binaries() / "bin" / "pg_dump"), "--dbname", dsn, "--inserts"]
    return subprocess.run(command, check=True, capture_output=True, env={"PATH": os.defpath}).stdout


def metrics(port: int) -> bytes:
    """Return what a process tells Prometheus."""
    with httpx.Client(trust_env=False) as client:
        return client.get(f"http://127.0.0.1:{port}/metrics").content
