import asyncio
import os
import re
import signal
import sys
from contextlib import suppress

import aiohttp
import asyncpg
import httpx

from deploy.local.person import Person
from libs.database.embedded import EmbeddedPostgres
from tests.suite.local_suite import SERVING, Home, Suite, all_gone, start
from tests.suite.truth import everything, shown, stored


async def expect_truth(home: Home, stores: int) -> int:
    """Assert that every store and every video is stored once, as TikTok shows it; return the number of videos."""
    users, videos = await stored(home.admin_dsn)
    days = {(store, day) for store, day in users}
    assert {store for store, _ in days} == {f"store_{number:04}" for number in range(1, stores + 1)}
    assert (users, videos) == await shown(home.sandbox, days)
    return len(videos)


async def counts(dsn: str) -> tuple[int, ...]:
    connection = await asyncpg.connect(dsn)
    try:
        tables = ("stores", "tiktok_user_daily", "tiktok_video_daily")
        counted = [await connection.fetchval(f"SELECT count(*) FROM reporting.{table}") for table in tables]
        connected = await connection.fetchval("SELECT count(*) FROM credentials.connections")
        generations = await connection.fetchval("SELECT sum(epoch) FROM credentials.connections")
        return (*counted, connected, int(generations))
    finally:
        await connection.close()


def counts_at_rest(home: Home) -> tuple[int, ...]:
    with EmbeddedPostgres(home.state / "postgres") as server:
        return asyncio.run(counts(server.dsn()))


async def test_a_set_up_ends_well_and_repeats_without_a_row_more(home: Home) -> None:
    async with start(home, STORES="4", SERVE="0") as first:
        assert await first.ended() == 0, "".join(first.said)
    assert re.fullmatch(r"4 stores connected, 4 synced, [1-9]\d* videos, 0 failed", first.last_line)
    before = await asyncio.to_thread(counts_at_rest, home)
    async with start(home, STORES="4") as second:
        await second.until(SERVING)
        assert not any("connect 4/4" in line for line in second.said)
        assert first.last_line in "".join(second.said)
        interrupt_as_a_terminal(second)
        interrupt_as_a_terminal(second)
        assert await second.ended() == 0
    assert await all_gone(home, within=2)
    assert await asyncio.to_thread(counts_at_rest, home) == before


async def test_what_was_done_to_demo_stores_by_hand_stays_so(home: Home) -> None:
    async with start(home, STORES="2") as first:
        await first.until(SERVING)
        ended = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "connections", "disconnect", "store_0002", "--yes"),
            env={**os.environ, "TOKHUB_STATE_DIR": str(home.state)},
        )
        assert await ended.wait() == 0
        await connect_own_store(home, account="store_0003")
        interrupt_as_a_terminal(first)
        assert await first.ended() == 0

    async with start(home, STORES="3", SERVE="0") as second:
        assert await second.ended() == 0, "".join(second.said)
    assert second.last_line.startswith("2 stores connected, 2 synced")
    assert any(line.startswith("store_0003 stays without an account") for line in second.said)


async def connect_own_store(home: Home, account: str) -> None:
    store = {"store_code": "my_store", "store_name": "My store", "pic_name": "Me"}
    async with httpx.AsyncClient(base_url=home.gateway, headers=home.admin_headers) as client:
        (await client.post("/admin/stores", json=store)).raise_for_status()
    async with aiohttp.TCPConnector() as connector:
        await Person(gateway=home.gateway, connector=connector).connect("my_store", account)


def interrupt_as_a_terminal(suite: Suite) -> None:
    os.killpg(suite.process.pid, signal.SIGINT)


async def test_a_served_suite_holds_the_truth_and_no_open_secret(served: Home) -> None:
    assert await expect_truth(served, stores=8) > 0
    assert "CNRY" in (served.state / "secrets" / "SANDBOX_CLIENT_SECRET").read_text()
    held = await everything(served.admin_dsn)
    assert "store_0001" in held
    assert "CNRY" not in held
    assert "CNRY" not in await answers(served)
    texts = process_texts(served)
    assert len(texts) >= 5
    assert [text for text in texts if "CNRY" in text] == []
    logs = [file for file in (served.state / "logs").iterdir() if not file.name.startswith("sandbox")]
    assert len(logs) >= 3
    assert [file.name for file in logs if "CNRY" in file.read_text()] == []


async def test_the_usual_limits_hold_after_the_set_up(served: Home) -> None:
    async with httpx.AsyncClient(base_url=served.gateway) as client:
        asked = [await client.get("/auth/url", params={"store_code": "store_0001"}) for _ in range(11)]
    assert [answer.status_code for answer in asked] == [200] * 10 + [429]


async def answers(home: Home) -> str:
    """Return what people and programs are answered, headers included."""
    metrics = [f"http://127.0.0.1:{home.ports[name]}/metrics" for name in ("TOKEN_METRICS_PORT", "SYNC_METRICS_PORT")]
    paths = (
        "/",
        "/health",
        "/metrics",
        "/api/openapi.json",
        "/connect/tiktok?store_code=store_0001",
        "/auth/tiktok/callback?code=a&state=b",
        "/admin/stores",
        "/admin/stores/store_0001/accounts",
        "/admin/stores/store_0001/user-stats",
        "/admin/sync/logs",
    )
    async with httpx.AsyncClient(headers=home.admin_headers) as client:
        got = [await client.get(url) for url in (*metrics, *(f"{home.gateway}{path}" for path in paths))]
    return "\n".join(f"{answer.headers} {answer.text}" for answer in got)


def process_texts(home: Home) -> list[str]:
    """Return command line and environment of every process of the suite."""
    return [f"{process.cmdline()} {process.environ()}" for process in home.processes()]


async def test_a_killed_sync_service_resumes_and_doubles_nothing(home: Home) -> None:
    async with start(home, STORES="8", SANDBOX_LATENCY_VIDEO_MS="600") as suite:
        await suite.until("Sync: ")
        await pages_read(home, at_least=3)
        os.kill(home.pid("sync"), signal.SIGKILL)
        await suite.until(SERVING)
        assert any("sync was ended by SIGKILL" in line for line in suite.said)
        videos = await expect_truth(home, stores=8)
        assert f"8 stores connected, 8 synced, {videos} videos, 0 failed" in "".join(suite.said)


async def pages_read(home: Home, at_least: int) -> None:
    async with httpx.AsyncClient(base_url=home.sandbox) as client:
        for _ in range(600):
            if (await client.get("/sandbox/ledger")).json()["pages"] >= at_least:
                return
            await asyncio.sleep(0.05)
    raise AssertionError("the sync reads no pages")


async def test_processes_outlive_neither_a_crash_nor_their_parent(home: Home) -> None:
    async with start(home, STORES="0") as suite:
        await suite.until(SERVING)
        os.kill(home.pid("gateway"), signal.SIGKILL)
        await suite.until("gateway was ended by SIGKILL")
        await healthy(home)
        suite.process.kill()
        await suite.ended()
        assert await all_gone(home, within=20)


async def healthy(home: Home) -> None:
    async with httpx.AsyncClient(base_url=home.gateway) as client:
        for _ in range(300):
            with suppress(httpx.TransportError):
                if (await client.get("/health")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
    raise AssertionError("the gateway did not come back")


async def test_a_stop_during_the_start_leaves_nothing_behind(home: Home) -> None:
    async with start(home, STORES="0") as suite:
        await suite.until("Starting sandbox")
        suite.process.terminate()
        assert await suite.ended() == 130
        assert "Stopped before the set-up was complete" in suite.last_line
    assert home.processes() == []


async def test_a_second_suite_beside_the_first_is_refused(home: Home) -> None:
    async with start(home, STORES="0") as first:
        await first.until("Starting sandbox")
        async with start(home, STORES="0") as second:
            assert await second.ended() == 1
        assert f"Another `make run` (process {first.process.pid})" in "".join(second.said)


async def test_a_taken_port_is_named_with_its_setting(home: Home) -> None:
    taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", home.ports["SYNC_LISTEN"])
    async with taken, start(home, STORES="0") as suite:
        assert await suite.ended() == 1
    port = home.ports["SYNC_LISTEN"]
    assert f"Port {port} is taken" in "".join(suite.said)
    assert "`SYNC_LISTEN=" in "".join(suite.said)


async def test_a_program_that_cannot_start_is_named_with_its_log(home: Home) -> None:
    async with start(home, STORES="0", DB_POOL_SIZE="none") as suite:
        assert await suite.ended() == 1
    said = "".join(suite.said)
    assert re.search(r"(token|sync) ended with status 78; the end of .*/logs/\1\.log:\n.*DB_POOL_SIZE", said)
    assert home.processes() == []


async def test_real_credentials_switch_the_sandbox_off(home: Home) -> None:
    (home.path / ".env").write_text("TIKTOK_CLIENT_KEY=awreal\nTIKTOK_CLIENT_SECRET=keep-this-to-yourself\n")
    async with start(home) as suite:
        await suite.until(SERVING)
        assert "0 stores connected, 0 synced, 0 videos, 0 failed" in "".join(suite.said)
        key = (home.state / "live" / "secrets" / "ADMIN_API_KEY").read_text()
        store = {"store_code": "mine", "store_name": "Mine", "pic_name": "Me"}
        async with httpx.AsyncClient(base_url=home.gateway) as client:
            assert (await client.post("/admin/stores", json=store, headers={"X-API-KEY": key})).status_code == 201
            way = (await client.get("/connect/tiktok", params={"store_code": "mine"})).headers["Location"]
        assert way.startswith("https://www.tiktok.com/v2/auth/authorize/?client_key=awreal&")
        assert [text for text in process_texts(home) if "sandbox" in text or "keep-this" in text] == []
