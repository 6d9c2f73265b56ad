import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from tokhub.sync.v1 import sync_pb2

from services.gateway import connections
from services.gateway.bodies import MAX_BODY_BYTES
from tests.gateway.raw_http import exchange, request
from tests.gateway.served import ADMIN, ADMIN_KEY, Gateway
from tests.gateway.test_progress_events import watching
from tests.gateway.test_sync_runs import ENDED, STORE, connect_store, ends_with

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SLOW_HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
SLOW_BODY = b"POST /webhooks/tiktok HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n"

KEY = f"X-API-KEY: {ADMIN_KEY}"
ONE_STORE = f'{{"store_code":"{STORE}"}}'.encode()
CHUNKED = ("Content-Type: application/json", "Transfer-Encoding: chunked")
H2C = ("Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA")


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests have half a second."""
    monkeypatch.setattr(connections, "PATIENCE", 0.5)


@asynccontextmanager
async def connected(gateway: Gateway, said: bytes = b"") -> AsyncIterator[Ends]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(said)
    try:
        yield reader, writer
    finally:
        writer.close()


async def heard_to_the_end(ends: Ends, trickle: bytes = b"") -> bytes:
    """Return what the server says until it closes, saying something more meanwhile, again and again."""
    reader, writer = ends

    async def say_more() -> None:
        while trickle:
            writer.write(trickle)
            await asyncio.sleep(0.05)

    heard = bytearray()
    task = asyncio.create_task(say_more())
    with suppress(ConnectionError):
        while more := await asyncio.wait_for(reader.read(4096), 10):
            heard += more
    task.cancel()
    return bytes(heard)


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize(("said", "trickle"), [(b"", b""), (SLOW_HEAD, b"x"), (SLOW_BODY, b"x")])
async def test_a_request_that_never_comes_whole_is_given_up(
    gateway: Gateway, said: bytes, trickle: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async with connected(gateway, said) as ends:
        heard = await heard_to_the_end(ends, trickle)

    assert heard == b""
    assert (await gateway.client.get("/")).status_code == 200
    assert "unhandled exception" not in capfd.readouterr().out


async def test_a_head_without_end_is_refused(gateway: Gateway) -> None:
    async with connected(gateway, SLOW_HEAD + b"x" * connections.MOST_HEAD) as ends:
        heard = await heard_to_the_end(ends)

    assert heard.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("body", [b"", b"x" * MAX_BODY_BYTES])
async def test_each_request_of_a_connection_has_a_head_of_its_own(gateway: Gateway, body: bytes) -> None:
    asked = request("POST", "/webhooks/tiktok", f"X-Large: {'x' * 10_000}", body=body)
    async with connected(gateway) as (reader, writer):
        for _ in range(2 * connections.MOST_HEAD // 10_000):
            writer.write(asked)

            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.usefixtures("impatience")
async def test_empty_lines_keep_no_connection_open(gateway: Gateway) -> None:
    async with connected(gateway, request("GET", "/")) as ends:
        heard = await heard_to_the_end(ends, b"\r\n")

    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.usefixtures("impatience")
async def test_an_answer_may_take_longer_than_its_request(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)

    async with watching(gateway, run) as events:
        first = await events.next()
        await asyncio.sleep(1)
        await run.finish()
        rest = await events.rest()

    assert [first["state"], rest[-1]["state"]] == ["QUEUED", "SUCCEEDED"]


async def test_whoever_waited_longest_makes_room(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_WAITING", 2)

    async with connected(gateway) as first, connected(gateway) as (reader, writer), connected(gateway):
        gone = await heard_to_the_end(first)
        writer.write(request("GET", "/admin/stores", f"X-API-KEY: {ADMIN_KEY}"))
        kept = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)

    assert gone == b""
    assert kept == b"HTTP/1.1 200 OK\r\n"
    assert (await gateway.client.get("/admin/stores", headers=ADMIN)).status_code == 200


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"GET / HTTP/1.1\r\nNo header\r\n\r\n"]
)
async def test_what_is_no_request_is_refused_as_all_others(gateway: Gateway, said: bytes) -> None:
    answer = await exchange(gateway.port, said)

    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json() == {
        "success": False,
        "error": {"code": "INVALID_REQUEST", "message": "The request cannot be understood"},
        "requestId": answer.headers["x-request-id"],
    }


@pytest.mark.usefixtures("impatience")
async def test_a_stream_behind_another_request_is_not_cut_off(gateway: Gateway) -> None:
    run = gateway.suite.sync.begin(sync_pb2.JOB_ALL)
    watch = request("GET", f"/admin/sync/runs/{run.row.id}/events", f"X-API-KEY: {ADMIN_KEY}", "Connection: close")

    async with connected(gateway, request("GET", "/") + watch) as (reader, _):
        await run.watched()
        await asyncio.sleep(1)
        await run.finish()
        heard = await asyncio.wait_for(reader.read(), 10)

    assert b'"state":"SUCCEEDED"' in heard


@pytest.mark.parametrize("asks", ["Upgrade, HTTP2-Settings", "Upgrade, HTTP2-Settings, close"])
@pytest.mark.parametrize("cut", [10_000, -len(ONE_STORE), -10, -50])
async def test_a_request_that_asks_for_http2_keeps_its_body(gateway: Gateway, asks: str, cut: int) -> None:
    connect_store(gateway)
    gateway.suite.sync.plan = ends_with(ended=[ENDED], processed=1, succeeded=1)
    headers = (KEY, "Content-Type: application/json", f"Connection: {asks}", *H2C)
    asked = request("POST", "/admin/sync/run", *headers, body=ONE_STORE)

    async with connected(gateway, asked[:cut]) as (reader, writer):
        await asyncio.sleep(0.1)
        writer.write(asked[cut:])
        heard = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)

    assert heard == b"HTTP/1.1 200 OK\r\n"
    assert [run.row.store_code for run in gateway.suite.sync.runs.values()] == [STORE]


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
async def test_what_follows_an_upgrade_is_the_next_request(gateway: Gateway, protocol: str) -> None:
    asked = request("GET", "/admin/stores", KEY, "Connection: Upgrade", f"Upgrade: {protocol}")

    async with connected(gateway, asked + asked + request("GET", "/", "Connection: close")) as ends:
        heard = await heard_to_the_end(ends)

    assert heard.count(b"HTTP/1.1 200 OK\r\n") == 3


async def test_a_hidden_request_behind_an_upgrade_is_a_body(gateway: Gateway) -> None:
    hidden = request("DELETE", "/admin/stores/shop-1", KEY)
    asked = request("POST", "/webhooks/tiktok", "Connection: Upgrade", "Upgrade: h2c", body=hidden)

    async with connected(gateway, asked.removesuffix(hidden)) as ends:
        await asyncio.sleep(0.1)
        ends[1].write(hidden + request("GET", "/", "Connection: close"))
        heard = await heard_to_the_end(ends)

    assert heard.count(b"HTTP/1.1 ") == 2


async def test_a_tunnel_is_refused(gateway: Gateway) -> None:
    asked = b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n"

    assert (await exchange(gateway.port, asked)).status == 400


async def test_trailers_do_not_become_headers(gateway: Gateway) -> None:
    asked = request("POST", "/admin/stores", *CHUNKED)

    answer = await exchange(gateway.port, asked + f"0\r\n{KEY}\r\nX-Request-Id: trailer\r\n\r\n".encode())

    assert answer.status == 401
    assert answer.headers["x-request-id"] != "trailer"


@pytest.mark.parametrize("trickle", [b"X: y\r\n" * 1_000, b"x" * 6_000])
async def test_trailers_without_end_end_the_connection(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, trickle: bytes
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 60)

    async with connected(gateway, request("POST", "/webhooks/tiktok", *CHUNKED) + b"1\r\nx\r\n0\r\nX: ") as ends:
        heard = await heard_to_the_end(ends, trickle)

    assert heard == b""


@pytest.mark.parametrize(
    ("behind", "answered"), [(connections.MOST_BEHIND, True), (connections.MOST_BEHIND + 1, False)]
)
async def test_few_requests_wait_behind_another(gateway: Gateway, behind: int, *, answered: bool) -> None:
    last = request("GET", "/", "Connection: close")

    async with connected(gateway, request("GET", "/") * behind + last) as ends:
        heard = await heard_to_the_end(ends)

    assert heard.count(b"HTTP/1.1 200 OK\r\n") == (behind + 1 if answered else 0)
