"""Other people's clients: each in a process of its own, told nothing but where the sandbox is."""

import asyncio
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.sandbox.visitor import Visitor

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "build" / "clients"
ARCTIC = ROOT / "build" / "arctic"
SCRIPTS = Path(__file__).parent / "clients"


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A client that prints the address to open, is given the one it leads back to, and prints what it saw."""

    command: tuple[str, ...]
    env: dict[str, str]

    async def visit(self, visitor: Visitor, account: str) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *self.command,
            env={"PATH": os.environ["PATH"], **self.env},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin
        assert process.stdout
        try:
            opened = (await process.stdout.readline()).decode().strip()
            back = await agree(visitor.client, opened, account) if opened else ""
            said, complaint = await asyncio.wait_for(process.communicate(f"{back}\n".encode()), 240)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        assert process.returncode == 0, complaint.decode()[-2_000:]
        seen: dict[str, Any] = json.loads(said)
        return seen


def python_with_clients() -> str:
    """Return the interpreter of the environment in which the Python clients are."""
    assert (CLIENTS / "installed").exists(), "other people's TikTok clients are not installed: make clients"
    return str(CLIENTS / "bin" / "python")


def python_guest(script: str, *arguments: str, **env: str) -> Guest:
    return Guest(command=(python_with_clients(), str(SCRIPTS / script), *arguments), env=env)


def node_guest(script: str, *arguments: str) -> Guest:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on this machine: arctic runs with the one and is installed by the other")
    assert (ARCTIC / "installed").exists(), "npm has not installed arctic: make clients, which says why it cannot"
    # Modules are looked for beside the script, wherever it really lies.
    (ARCTIC / script).write_bytes((SCRIPTS / script).read_bytes())
    return Guest(command=(node, str(ARCTIC / script), *arguments), env={})


async def agree(client: httpx.AsyncClient, opened: str, account: str) -> str:
    """Agree as a person would on the page that the client opens, and return where the browser is sent."""
    address = urlsplit(opened)
    asked = await client.get(f"{address.path}?{address.query}", headers={"Accept": "application/json"})
    offered = asked.raise_for_status().json()
    form = {
        "ticket": offered["ticket"],
        "account": account,
        "decision": "authorize",
        "scopes": offered.get("scopes", []),
    }
    answer = await client.post(address.path, data=form)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def serve_tunnel(port: int) -> asyncio.Server:
    """Start a proxy that leads to the sandbox's TLS port, whatever host a client asks for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pipe(reader, outer), _pipe(inner, writer))

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await source.read(1 << 16):
            target.write(piece)
            await target.drain()
    target.close()
