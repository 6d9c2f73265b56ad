import asyncio
import gzip
import socket
import time
import tracemalloc

import pytest

from libs.tiktok.outcomes import CallFailed, NoAnswer, NotSent, TooLarge
from libs.tiktok.transport import MAX_BODY_BYTES, Answer, Request, Transport
from tests.fixtures_sandbox import SandboxProcess
from tests.tiktok.raw_server import RawServer, Reply, answering, serve_raw, writing

CANARY = "rft.CNRYcanary"
METHODS = ("GET", "POST", "PUT", "DELETE")


def carrying_secrets(url: str, method: str = "POST") -> Request:
    secrets = {"refresh_token": CANARY}
    form = secrets if method == "POST" else None
    return Request(method=method, url=url, params=secrets, headers={"Authorization": CANARY}, form=form)


async def send(url: str, method: str = "POST", deadline: float = 5, *, keep_alive: bool = False) -> Answer:
    async with Transport(keep_alive=keep_alive) as transport:
        return await transport.send(carrying_secrets(url, method), deadline=deadline)


async def test_a_refused_connection_was_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotSent):
        await send(f"http://127.0.0.1:{port}/")


async def test_an_unknown_host_was_not_sent() -> None:
    with pytest.raises(NotSent):
        await send("http://tiktok.invalid/")


async def test_a_handshake_that_hangs_was_not_sent() -> None:
    async with serve_raw(writing(b"")) as raw:
        with pytest.raises(NotSent):
            await send(raw.url.replace("http:", "https:"), deadline=0.4)


async def test_a_peer_without_tls_was_not_sent() -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        with pytest.raises(NotSent):
            await send(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("keep_alive", [True, False])
async def test_a_request_that_is_cut_is_never_sent_twice(method: str, *, keep_alive: bool) -> None:
    async with serve_raw(writing(b"")) as raw:
        with pytest.raises(NoAnswer):
            await send(raw.url, method, keep_alive=keep_alive)
    assert len(raw.heads) == 1


@pytest.mark.parametrize("method", METHODS)
async def test_a_dead_kept_connection_is_no_reason_to_repeat(method: str) -> None:
    async def answer_once(raw: RawServer, writer: asyncio.StreamWriter) -> None:
        await (answering(b"{}") if len(raw.heads) == 1 else writing(b""))(raw, writer)

    async with serve_raw(answer_once) as raw, Transport() as transport:
        await transport.send(carrying_secrets(raw.url, method), deadline=5)
        with pytest.raises(NoAnswer):
            await transport.send(carrying_secrets(raw.url, method), deadline=5)
    assert (len(raw.heads), raw.connections) == (2, 1)


CUT_OFF = {
    "in the status line": b"HTTP/1.1 20",
    "in the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "in the body": b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"access_token":',
    "in a chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{"access',
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "broken gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
}


@pytest.mark.parametrize("sent", CUT_OFF.values(), ids=CUT_OFF.keys())
async def test_half_an_answer_is_no_answer(sent: bytes) -> None:
    async with serve_raw(writing(sent)) as raw:
        with pytest.raises(NoAnswer):
            await send(raw.url)


async def test_a_silent_peer_is_no_answer() -> None:
    async def wait(raw: RawServer, _writer: asyncio.StreamWriter) -> None:
        await raw.released.wait()

    async with serve_raw(wait) as raw:
        with pytest.raises(NoAnswer, match="TimeoutError"):
            await send(raw.url, deadline=0.2)


async def test_a_dripping_peer_does_not_stretch_the_deadline() -> None:
    async def drip(raw: RawServer, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not raw.released.is_set():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serve_raw(drip) as raw:
        with pytest.raises(NoAnswer, match="TimeoutError"):
            await send(raw.url, deadline=0.3)


async def test_a_gzip_bomb_is_too_large() -> None:
    bomb = gzip.compress(bytes(100 * 1024 * 1024), compresslevel=1)
    async with serve_raw(answering(bomb, "Content-Encoding: gzip")) as raw:
        tracemalloc.start()
        try:
            with pytest.raises(TooLarge):
                await send(raw.url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 5 * MAX_BODY_BYTES


async def test_the_largest_body_is_still_accepted() -> None:
    async with serve_raw(answering(bytes(MAX_BODY_BYTES))) as raw:
        assert len((await send(raw.url)).body) == MAX_BODY_BYTES


async def test_one_byte_more_is_too_large() -> None:
    async with serve_raw(answering(bytes(MAX_BODY_BYTES + 1))) as raw:
        with pytest.raises(TooLarge):
            await send(raw.url)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_an_answer_and_not_followed(status: str) -> None:
    async with serve_raw(answering(b"", "Location: /elsewhere", status=status)) as raw:
        answer = await send(raw.url)
    assert (answer.status, answer.headers["location"], len(raw.heads)) == (int(status[:3]), "/elsewhere", 1)


async def test_cookies_are_not_kept() -> None:
    async with serve_raw(answering(b"{}", "Set-Cookie: session=1; Path=/")) as raw, Transport() as transport:
        for _ in range(2):
            await transport.send(Request(method="GET", url=raw.url), deadline=5)
    assert "cookie" not in "".join(raw.heads).lower()


@pytest.mark.parametrize(("keep_alive", "connections"), [(True, 1), (False, 3)])
async def test_only_keep_alive_uses_a_connection_again(connections: int, *, keep_alive: bool) -> None:
    async with serve_raw(answering(b"{}")) as raw, Transport(keep_alive=keep_alive) as transport:
        for _ in range(3):
            await transport.send(Request(method="GET", url=raw.url), deadline=5)
    assert raw.connections == connections


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with serve_raw(answering(b"{}")) as raw:
        assert (await send(raw.url)).status == 200


async def test_a_plus_and_a_star_arrive_as_they_are() -> None:
    async with serve_raw(answering(b"{}")) as raw, Transport() as transport:
        await transport.send(Request(method="GET", url=raw.url, params={"code": "a+b*c!d &=%2A"}), deadline=5)
    assert raw.heads[0].startswith("GET /v2/oauth/token/?code=a%2Bb*c!d+%26%3D%252A HTTP/1.1")


@pytest.mark.parametrize("reply", [writing(b""), writing(CUT_OFF["in the body"]), answering(bytes(MAX_BODY_BYTES + 1))])
async def test_a_failure_says_nothing_of_the_request(reply: Reply) -> None:
    async with serve_raw(reply) as raw:
        with pytest.raises(CallFailed) as caught:
            await send(raw.url)
    failure: BaseException | None = caught.value
    assert CANARY not in repr(failure)
    assert failure is not None
    assert failure.__suppress_context__ or failure.__context__ is None


def test_reprs_hold_neither_request_nor_answer() -> None:
    request = carrying_secrets("https://open.tiktokapis.com/v2/oauth/token/")
    answer = Answer(status=200, headers={}, body=CANARY.encode())
    assert CANARY not in repr(request) + repr(answer)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"1", b"null", b"\xff{}", b"[" * 100_000, b"1" * 5_000])
def test_what_is_no_json_object_is_none(body: bytes) -> None:
    assert Answer(status=200, headers={}, body=body).json_object() is None


def pause(seconds: float) -> None:
    """Stop this process's event loop, as a suspended machine would."""
    time.sleep(seconds)


async def test_an_answer_that_arrived_during_a_pause_is_read(sandbox: SandboxProcess) -> None:
    account = sandbox.next_account()
    sandbox.fault("latency", account, endpoint="user", seconds=0.2)
    grant = sandbox.control.post(f"/sandbox/accounts/{account}/grant", json={}).raise_for_status().json()
    request = Request(
        method="GET",
        url=f"{sandbox.url}/v2/user/info/",
        params={"fields": "open_id"},
        headers={"Authorization": f"Bearer {grant['access_token']}"},
    )
    async with Transport(keep_alive=False) as transport:
        sending = asyncio.create_task(transport.send(request, deadline=0.6))
        await asyncio.sleep(0.1)
        pause(1.0)

        assert (await sending).status == 200
