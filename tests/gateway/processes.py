"""`python -m services.gateway` as processes of their own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.gateway.served import ADMIN_KEY, Suite, sync_server, token_server

ROOT = Path(__file__).parents[2]


async def launch(**settings: str) -> Process:
    environment = {"PATH": os.environ["PATH"], "PORT": "0", **settings}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE
    )


async def line_with(process: Process, message: str) -> dict[str, Any]:
    assert process.stdout
    async with asyncio.timeout(60):
        async for line in process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["msg"] == message:
                return event
    raise AssertionError(f"no line says {message}")


@asynccontextmanager
async def ended(process: Process) -> AsyncIterator[Process]:
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def running(suite: Suite, **settings: str) -> AsyncIterator[tuple[Process, str]]:
    async with AsyncExitStack() as stack:
        process, url = (await stack.enter_async_context(replicas(1, suite, **settings)))[0]
        yield process, url


@asynccontextmanager
async def replicas(count: int, suite: Suite, **settings: str) -> AsyncIterator[list[tuple[Process, str]]]:
    async with AsyncExitStack() as stack:
        token = await stack.enter_async_context(token_server(suite))
        sync = await stack.enter_async_context(sync_server(suite))
        targets = {"TOKEN_TARGET": f"127.0.0.1:{token.port}", "SYNC_TARGET": f"127.0.0.1:{sync.port}"}
        environment = {"ADMIN_API_KEY": ADMIN_KEY, **targets, **settings}
        started = [await stack.enter_async_context(ended(await launch(**environment))) for _ in range(count)]
        ports = [(await line_with(process, "serving"))["port"] for process in started]
        yield [(process, f"http://127.0.0.1:{port}") for process, port in zip(started, ports, strict=True)]


@asynccontextmanager
async def clients(gateways: list[tuple[Process, str]]) -> AsyncIterator[list[httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60, trust_env=False))
            for _, url in gateways
        ]
