import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from sandbox.app import create_app
from sandbox.settings import load_settings
from tests.sandbox.shopper import Shopper
from tests.sandbox.visitor import Visitor

Launch = Callable[..., Awaitable[tuple[asyncio.subprocess.Process, str]]]
Start = Callable[..., Awaitable[tuple[asyncio.subprocess.Process, dict[str, Any]]]]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Starlette:
    for name in [name for name in os.environ if name.startswith("SANDBOX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SANDBOX_ACCOUNTS", "40")
    return create_app(load_settings())


@pytest.fixture
async def visitor(app: Starlette) -> AsyncIterator[Visitor]:
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://tt") as client:
        yield Visitor(client)


@pytest.fixture
def shopper(visitor: Visitor) -> Shopper:
    return Shopper(visitor.client)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start `python -m sandbox` on a free port and return the process with the first line of its log."""
    started: list[asyncio.subprocess.Process] = []

    async def start(**env: str) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sandbox"),
            cwd=Path(__file__).parents[2],
            env={"PATH": os.environ["PATH"], "SANDBOX_PORT": "0", "SANDBOX_ACCOUNTS": "30", **env},
            stdout=asyncio.subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout
        return process, json.loads(await process.stdout.readline())

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def launch(start: Start) -> Launch:
    """Start `python -m sandbox` on a free port and return the process with its address."""

    async def launched(**env: str) -> tuple[asyncio.subprocess.Process, str]:
        process, line = await start(**env)
        return process, f"http://127.0.0.1:{line['port']}"

    return launched


@pytest.fixture
async def served(launch: Launch) -> AsyncIterator[Visitor]:
    _, url = await launch()
    async with httpx.AsyncClient(base_url=url) as client:
        yield Visitor(client)
