import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import httpx
import pytest

from sandbox.settings import PREFIX, Settings, Switches
from tests.sandbox.conftest import Launch
from tests.sandbox.shopper import Shopper
from tests.sandbox.visitor import Visitor

ROOT = Path(__file__).parents[2]


async def run_until_exit(**env: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SANDBOX_PORT": "0", **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, errors.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly(launch: Launch, number: signal.Signals) -> None:
    process, url = await launch()
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/sandbox/health")).status_code == 200
    process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SANDBOX_PORT", "http"),
        ("SANDBOX_REFRESH_ROTATION", "never"),
        ("SANDBOX_TIME_SCALE", "0"),
        ("SANDBOX_CLIENT_SECRET_FILE", "/nowhere/at/all"),
        ("SANDBOX_SHOP_APP_SECRET_FILE", "/nowhere/at/all"),
        ("SANDBOX_TLS_KEY", "/a/key/without/its/certificate"),
        ("SANDBOX_SHOP_WEBHOOK_URL", "https://elsewhere.example/"),
        ("SANDBOX_STATE_FILE", "/nowhere/at/all"),
    ],
)
async def test_a_wrong_setting_is_named_in_one_line(name: str, value: str) -> None:
    code, errors = await run_until_exit(**{name: value})
    assert code == 2
    assert errors.count("\n") == 1
    assert errors.startswith(f"{name} ")


async def test_help_names_every_variable_and_starts_nothing() -> None:
    shown = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", "--help"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    text, _ = await asyncio.wait_for(shown.communicate(), 20)
    assert shown.returncode == 0
    for name in (Settings.model_fields.keys() | Switches.model_fields.keys()) - {"switches"}:
        assert f"  {PREFIX}{name.upper()} " in text.decode() or f"  {PREFIX}{name.upper()}\n" in text.decode()


async def test_a_variable_that_is_no_setting_is_named(launch: Launch) -> None:
    process, _ = await launch(SANDBOX_REFRESH_TLT_SECONDS="60")
    assert process.stdout
    assert b"SANDBOX_REFRESH_TLT_SECONDS" in await asyncio.wait_for(process.stdout.readline(), 20)


async def test_a_taken_port_is_named_in_one_line(launch: Launch) -> None:
    _, url = await launch()
    code, errors = await run_until_exit(SANDBOX_PORT=url.rpartition(":")[2])
    assert (code, errors.count("\n")) == (2, 1)
    assert "SANDBOX_PORT" in errors


async def test_a_state_file_serves_one_sandbox(launch: Launch, tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    await launch(SANDBOX_STATE_FILE=state)
    code, errors = await run_until_exit(SANDBOX_STATE_FILE=state)
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith("SANDBOX_STATE_FILE ")


async def test_a_kill_never_undoes_a_rotation(launch: Launch, tmp_path: Path) -> None:
    env = {"SANDBOX_STATE_FILE": str(tmp_path / "state.db")}
    process, url = await launch(**env)
    async with httpx.AsyncClient(base_url=url) as client:
        visitor = Visitor(client)
        await client.post("/sandbox/accounts", json={"count": 35})
        await visitor.advance(86_400 * 3)
        day = (await client.get("/sandbox/clock")).json()["day"]
        first = await visitor.connect("store_0035")
        second = await visitor.refresh(first["refresh_token"])
        process.kill()
        await process.wait()
    _, url = await launch(**env)
    async with httpx.AsyncClient(base_url=url) as client:
        visitor = Visitor(client)
        assert (await client.get("/sandbox/clock")).json()["day"] == day
        assert (await visitor.user(second["access_token"])).status_code == 200
        assert (await visitor.refresh(first["refresh_token"]))["error"] == "invalid_grant"
        assert "access_token" in await visitor.refresh(second["refresh_token"])


async def test_the_log_holds_no_secret(launch: Launch) -> None:
    process, url = await launch(SANDBOX_LOG_LEVEL="DEBUG")
    async with httpx.AsyncClient(base_url=url) as client:
        tokens = await Visitor(client).connect()
        await Visitor(client).user(tokens["access_token"])
        await Visitor(client).fault("truncated")
        with pytest.raises(httpx.RemoteProtocolError):
            await Visitor(client).refresh(tokens["refresh_token"])
    process.terminate()
    output, _ = await process.communicate()
    assert b"Finished server process" in output
    assert b"CNRY" not in output


async def test_a_kill_never_undoes_a_shop_rotation(launch: Launch, tmp_path: Path) -> None:
    env = {"SANDBOX_STATE_FILE": str(tmp_path / "state.db")}
    process, url = await launch(**env)
    async with httpx.AsyncClient(base_url=url) as client:
        shopper = Shopper(client)
        await client.post("/sandbox/sellers", json={"count": 20})
        first = await shopper.grant("seller_0018", access_seconds=9_000)
        second = (await shopper.shop_refresh(first["refresh_token"]))["data"]
        bulk = await client.post("/sandbox/grants", json={"provider": "shop", "count": 1})
        process.kill()
        await process.wait()
    _, url = await launch(**env)
    async with httpx.AsyncClient(base_url=url) as client:
        shopper = Shopper(client)
        assert (await client.get("/sandbox/sellers?q=seller_0020")).json()["total"] == 1
        assert len((await shopper.shops(second["access_token"])).json()["data"]["shops"]) == 3
        assert (await shopper.shop_refresh(first["refresh_token"]))["code"] == 36004005
        assert (await shopper.shop_refresh(bulk.json()["refresh_token"]))["code"] == 0
        third = (await shopper.shop_refresh(second["refresh_token"]))["data"]
        assert abs(third["refresh_token_expire_in"] - second["refresh_token_expire_in"]) <= 1
        assert third["access_token_expire_in"] - time.time() < 9_010


async def test_the_log_holds_no_secret_of_a_shop(launch: Launch) -> None:
    process, url = await launch(SANDBOX_LOG_LEVEL="DEBUG", SANDBOX_SHOP_WEBHOOK_URL="http://127.0.0.1:9/closed")
    async with httpx.AsyncClient(base_url=url) as client:
        shopper = Shopper(client)
        tokens = await shopper.connect_shop()
        await shopper.fault("drip", endpoint="shop_token", bytes=50, seconds=0.01)
        await shopper.shop_refresh(tokens["refresh_token"])
        await client.post("/sandbox/sellers/seller_0001/revoke")
    process.terminate()
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert b"Finished server process" in output
    assert b"CNRY" not in output
