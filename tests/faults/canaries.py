"""Searches all that a case left behind for secrets, in clear, hex, Base64, Base64url and percent signs.

Every token and code that the sandbox mints holds the word CNRY, so that one look finds where any of them may stand;
which of them it is decides only where the word is spelled in another way. Keys, states and so on are looked for whole.
"""

import asyncio
import base64
import os
import re
import subprocess
from collections.abc import Awaitable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
from google.protobuf.message import Message
from tokhub.token.v1 import token_pb2, vault_pb2

from libs.database.postgres.binaries import installed_binaries
from libs.errors import TokhubError
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import reference

WORD = b"CNRY"
PIECE = 12  # bytes; a multiple of three, and too many to be met by chance
AROUND = 64  # bytes on each side of a spelled word, in which its token stands


@dataclass(frozen=True)
class Secrets:
    """What is looked for: tokens by what goes on behind their word, and all others in every spelling."""

    tokens: Sequence[bytes]
    others: Collection[bytes]

    def stand_in(self, text: bytes) -> bool:
        """Return whether one of them stands in a text."""
        if WORD in text or any(one in text for one in self.others):
            return True
        hits = re.finditer(b"|".join(map(re.escape, spelled_word())), text)
        windows = [text[max(hit.start() - AROUND, 0) : hit.end() + AROUND] for hit in hits]
        return any(one in window for window in windows for token in self.tokens for one in spellings(token))


async def leaks(lab: Lab) -> Sequence[str]:
    """Return where a secret stands that should not."""
    secrets = await secrets_of(lab)
    answers = [(f"answers of {one.name}", await answered(lab, one)) for one in lab.replicas if one.alive]
    return await asyncio.to_thread(
        lambda: [name for name, text in (*left_behind(lab), *answers) if secrets.stand_in(text)]
    )


async def secrets_of(lab: Lab) -> Secrets:
    """Return all that a case has made or was told in secret."""
    tokens = [found.partition("CNRY")[2].encode() for found in await minted(lab)]
    return Secrets(tokens=tokens, others={one for secret in kept(lab) for one in spellings(secret)})


def spelled_word() -> Iterator[bytes]:
    """Yield what the word looks like in hex, and what of it does not depend on its neighbours in Base64."""
    yield from (WORD.hex().encode(), WORD.hex().upper().encode(), quoted(WORD))
    for shift, clean in ((0, slice(0, 5)), (1, slice(2, 6)), (2, slice(3, 8))):
        yield base64.b64encode(bytes(shift) + WORD)[clean]


def spellings(secret: bytes) -> Iterator[bytes]:
    """Yield the begin of a secret in clear, hex and percent signs, and in Base64 wherever in a longer text."""
    begin = secret[:PIECE]
    yield from (begin, begin.hex().encode(), begin.hex().upper().encode(), quote(begin).encode(), quoted(begin))
    for shift in range(3):
        yield base64.b64encode(secret[shift : shift + PIECE])
        yield base64.urlsafe_b64encode(secret[shift : shift + PIECE])


def quoted(text: bytes) -> bytes:
    """Return a text in percent signs only."""
    return b"".join(b"%%%02X" % byte for byte in text)


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


def kept(lab: Lab) -> set[bytes]:
    """Return what the services were told in secret, and the states and nonces they have made."""
    found = {made.encode() for made in lab.made}
    for path in lab.directory.glob("*/secrets/*"):
        text = path.read_text()
        if path.name == "DATABASE_URL":
            found.add((urlsplit(text).password or text).encode())
            continue
        for part in text.split(","):
            value = part.rpartition(":")[2]
            found.add(value.encode())
            if "_KEY" in path.name and re.fullmatch("[0-9a-f]{64}", value):
                found.add(bytes.fromhex(value))
    return {secret for secret in found if len(secret) > PIECE}


async def answered(lab: Lab, replica: Replica) -> bytes:
    """Return what a replica tells of all stores, tokens aside, errors included."""
    told = [await said(replica.vault.GetKeyRing(vault_pb2.GetKeyRingRequest(), timeout=5))]
    for code in lab.accounts:
        request = token_pb2.ExplainConnectionRequest(connection=reference(code), page_size=100)
        told.append(await said(replica.connections.ExplainConnection(request, timeout=5)))
    return b"\n".join(told)


async def said(call: Awaitable[Message]) -> bytes:
    """Return an answer or an error as bytes."""
    try:
        return (await call).SerializeToString()
    except TokhubError as error:
        return f"{error.message} {error.metadata}".encode()


def left_behind(lab: Lab) -> Iterator[tuple[str, bytes]]:
    """Yield all that can be read, with a name."""
    for path in files(lab.directory):
        yield path.name, path.read_bytes()
    yield "the database's dump", dump(lab.dsn)
    for service in lab.processes:
        if service.alive:
            for process in family(service.process.pid):
                yield f"command line of {service.name}", (process / "cmdline").read_bytes()
                yield f"environment of {service.name}", (process / "environ").read_bytes()
            yield f"metrics of {service.name}", metrics(service.metrics_port)


def family(pid: int) -> Iterable[Path]:
    """Return the directories of a process and of its children in /proc."""
    process = Path(f"/proc/{pid}")
    children = {child for task in process.glob("task/*/children") for child in task.read_text().split()}
    return [process, *(Path(f"/proc/{child}") for child in children)]


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
