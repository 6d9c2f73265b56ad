"""A gateway of its own before a running suite, to be ended and started again at the same address."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import psutil

from tests.suite.local_suite import ROOT, Home, free_ports


@dataclass
class Replica:
    """One more gateway, with the settings of the suite's own."""

    home: Home
    port: int
    process: Process | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {**psutil.Process(self.home.pid("gateway")).environ(), "PORT": str(self.port)}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.gateway", cwd=ROOT, env=environment, stdout=DEVNULL, stderr=DEVNULL
        )
        async with httpx.AsyncClient() as client:
            for _ in range(300):
                if await answers(client, self.url):
                    return
                await asyncio.sleep(0.2)
        raise AssertionError("the gateway does not start")

    async def end(self) -> None:
        """Kill it."""
        assert self.process
        self.process.kill()
        await self.process.wait()


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    """Return whether a gateway is up."""
    try:
        return (await client.get(f"{url}/health")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@asynccontextmanager
async def replica(home: Home) -> AsyncIterator[Replica]:
    """One more gateway while the context is open."""
    (port,) = free_ports(1)
    one = Replica(home, port)
    await one.start()
    try:
        yield one
    finally:
        await one.end()


@asynccontextmanager
async def tiktok_with(home: Home, **fault: object) -> AsyncIterator[None]:
    """TikTok has a fault while the context is open."""
    async with httpx.AsyncClient(base_url=home.sandbox) as sandbox:
        (await sandbox.post("/sandbox/faults", json={**fault, "count": None})).raise_for_status()
        try:
            yield
        finally:
            await sandbox.delete("/sandbox/faults")
