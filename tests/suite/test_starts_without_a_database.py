"""A service whose database is away waits for it, says so, and can still be told to end."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.fixtures_sandbox import SandboxProcess
from tests.token.token_process import environment

ROOT = Path(__file__).parents[2]
AWAY = "postgresql://user:CNRYsecret@127.0.0.1:1/database"


@pytest.mark.parametrize("service", ["token", "sync"])
async def test_a_service_waits_for_its_database(service: str, sandbox: SandboxProcess) -> None:
    told = environment(AWAY, sandbox) if service == "token" else {"DATABASE_URL": AWAY, "PATH": os.environ["PATH"]}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{service}", cwd=ROOT, env=told, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    line = json.loads(await process.stdout.readline())
    process.terminate()
    rest = await process.stdout.read()

    assert (line["msg"], "nothing listens there" in line["why"]) == ("the start waits for the database", True)
    assert await process.wait() == 0
    assert b"CNRYsecret" not in rest
