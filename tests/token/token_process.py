"""Real token services, as processes."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.fixtures_sandbox import SandboxProcess

ROOT = Path(__file__).parents[2]
KEY_HEX = bytes(range(32)).hex()
AUDIT_KEYS = f"a1:{bytes(range(32, 64)).hex()}"

# No rotation can be saved in between: what TikTok gives stands in the journal only.
FULL_DISK = """
    CREATE FUNCTION credentials.full() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER full_disk BEFORE UPDATE OF generation ON credentials.connections
        FOR EACH ROW EXECUTE FUNCTION credentials.full();
"""
FREE_DISK = "DROP TRIGGER full_disk ON credentials.connections"


def environment(dsn: str, sandbox: SandboxProcess, journal: Path | None = None) -> dict[str, str]:
    """Return what a token service needs to run beside others; without a directory it keeps no journal."""
    return {
        "REFRESH_AHEAD_CONCURRENCY": "0",
        "JOURNAL_MODE": "required" if journal else "off",
        "JOURNAL_DIR": str(journal or ""),
        "PATH": os.environ["PATH"],
        "DATABASE_URL": dsn,
        "TOKEN_LISTEN": "127.0.0.1:0",
        "TOKEN_METRICS_PORT": "0",
        "TIKTOK_CLIENT_KEY": sandbox.client_key,
        "TIKTOK_CLIENT_SECRET": sandbox.client_secret,
        "TIKTOK_REDIRECT_URI": sandbox.redirect_uri,
        "TIKTOK_LOGIN_AUTHORIZE_URL": sandbox.authorize_url,
        "TIKTOK_API_BASE_URL": sandbox.url,
        "TIKTOK_SHOP_APP_KEY": sandbox.shop_app_key,
        "TIKTOK_SHOP_APP_SECRET": sandbox.shop_app_secret,
        "TIKTOK_SHOP_SERVICE_ID": sandbox.shop_service_id,
        "TIKTOK_SHOP_AUTHORIZE_URL": sandbox.shop_authorize_url,
        "TIKTOK_SHOP_TOKEN_BASE_URL": sandbox.url,
        "TIKTOK_SHOP_API_BASE_URL": sandbox.url,
        "TOKEN_ENC_KEY": KEY_HEX,
        "AUDIT_KEYS": AUDIT_KEYS,
        "STATE_SECRET": "s" * 64,
    }


class TokenProcess:
    """A running token service; lines are what it has logged so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.target = ""

    async def wait_until_serving(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            self.lines.append(line.decode())
            event = json.loads(line)
            if event["msg"] == "serving":
                self.target = f"127.0.0.1:{event['port']}"
                return
        raise AssertionError("".join(self.lines))

    async def end(self) -> int:
        """Let it land what is in the air; return its exit status."""
        if self.process.returncode is None:
            self.process.terminate()
        output, _ = await self.process.communicate()
        self.lines += output.decode().splitlines()
        assert self.process.returncode is not None
        return self.process.returncode


async def launch(environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.token",
        cwd=ROOT,
        env=dict(environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running(environ: Mapping[str, str]) -> AsyncIterator[TokenProcess]:
    """A token service that serves."""
    service = TokenProcess(await launch(environ))
    try:
        await service.wait_until_serving()
        yield service
    finally:
        await service.end()
