import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from tests.fixtures_sandbox import SandboxProcess
from tests.sandbox.shopper import Shopper
from tests.sandbox.visitor import Json

USER = "/v2/user/info/?fields=open_id"


@pytest.fixture
async def shopper(sandbox: SandboxProcess) -> AsyncIterator[Shopper]:
    """A client of the shared process: who connects must be an account or a seller that no other test has."""
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as client:
        yield Shopper(client)


@pytest.fixture
async def tokens(sandbox: SandboxProcess, shopper: Shopper) -> Json:
    return await shopper.connect(sandbox.next_account())


async def bytes_of(shopper: Shopper, tokens: Json) -> tuple[bytes, bool]:
    """Return all that comes over the wire for user/info, and whether the connection was reset."""
    address = urlsplit(str(shopper.client.base_url))
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"GET {USER} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tokens['access_token']}\r\n\r\n".encode())
    got = bytearray()
    try:
        while piece := await reader.read(65_536):
            got += piece
    except ConnectionResetError:
        return bytes(got), True
    finally:
        writer.close()
    return bytes(got), False


def parts(answer: bytes) -> tuple[list[str], bytes]:
    top, _, body = answer.partition(b"\r\n\r\n")
    return top.decode().split("\r\n"), body


@pytest.mark.parametrize(("at_byte", "announced"), [(0, "whole"), (9, "whole"), (9, "sent"), (None, "whole")])
async def test_a_body_ends_where_it_is_told(
    shopper: Shopper, tokens: Json, at_byte: int | None, announced: str
) -> None:
    whole = (await shopper.user(tokens["access_token"], "open_id")).content
    await shopper.fault("truncated", open_id=tokens["open_id"], at_byte=at_byte, announced=announced)
    lines, body = parts((await bytes_of(shopper, tokens))[0])
    assert len(body) == (len(whole) // 2 if at_byte is None else at_byte)
    length = next(int(line.split(": ")[1]) for line in lines if line.lower().startswith("content-length"))
    assert length == (len(whole) if announced == "whole" else len(body))


async def test_a_body_may_end_in_a_reset(shopper: Shopper, tokens: Json) -> None:
    await shopper.fault("truncated", open_id=tokens["open_id"], at_byte=9, end="reset")
    _, was_reset = await bytes_of(shopper, tokens)
    assert was_reset


@pytest.mark.parametrize(("when", "rotated"), [("before", 0), ("after", 1)])
async def test_a_reset_comes_before_or_after_the_work(shopper: Shopper, tokens: Json, when: str, rotated: int) -> None:
    await shopper.fault("reset", open_id=tokens["open_id"], when=when)
    with pytest.raises(httpx.ReadError):
        await shopper.refresh(tokens["refresh_token"])
    assert (await shopper.ledger(f"/accounts/{tokens['open_id']}"))["refreshes"] == rotated


async def test_a_lost_answer_is_closed_in_good_order(shopper: Shopper, tokens: Json) -> None:
    await shopper.fault("answer_lost", open_id=tokens["open_id"])
    assert await bytes_of(shopper, tokens) == (b"", False)


@pytest.mark.parametrize("part", ["body", "headers", "all"])
async def test_an_answer_may_drip(shopper: Shopper, tokens: Json, part: str) -> None:
    await shopper.fault("drip", open_id=tokens["open_id"], part=part, bytes=40, seconds=0.02)
    lines, body = parts((await bytes_of(shopper, tokens))[0])
    assert lines[0] == "HTTP/1.1 200 OK"
    assert json.loads(body)["error"]["code"] == "ok"


async def test_a_drip_stops_when_nobody_listens(shopper: Shopper, tokens: Json) -> None:
    await shopper.fault("drip", open_id=tokens["open_id"], seconds=0.2)
    with pytest.raises(httpx.ReadTimeout):
        await shopper.client.get(USER, headers={"Authorization": f"Bearer {tokens['access_token']}"}, timeout=0.1)
    assert (await shopper.user(tokens["access_token"])).status_code == 200


async def test_headers_may_be_many(shopper: Shopper, tokens: Json) -> None:
    await shopper.fault("many_headers", open_id=tokens["open_id"], headers=5_000)
    lines, body = parts((await bytes_of(shopper, tokens))[0])
    assert len([line for line in lines if line.startswith("X-Sandbox-")]) == 5_000
    assert json.loads(body)["error"]["code"] == "ok"


async def test_headers_may_be_strange(shopper: Shopper, tokens: Json) -> None:
    long_ago = "Thu, 01 Jan 1970 00:00:00 GMT"
    headers = [["Date", long_ago], ["Content-Type", "text/plain"], ["X-Two", "a"], ["X-Two", "b"]]
    await shopper.fault("headers", open_id=tokens["open_id"], headers=headers)
    answer = await shopper.user(tokens["access_token"])
    assert answer.headers.get_list("x-two") == ["a", "b"]
    assert answer.headers.get_list("date") == [long_ago]
    assert answer.headers.get_list("content-type") == ["text/plain"]
    assert answer.json()["error"]["code"] == "ok"


async def test_large_bodies_are_streamed(shopper: Shopper, tokens: Json) -> None:
    await shopper.fault("gzip_bomb", open_id=tokens["open_id"], bytes=50_000_000)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with shopper.client.stream("GET", USER, headers=headers) as answer:
        raw = sum([len(piece) async for piece in answer.aiter_raw()])
    assert raw < 200_000
    await shopper.fault("huge", open_id=tokens["open_id"], bytes=50_000_000)
    async with shopper.client.stream("GET", USER, headers=headers) as answer:
        assert len(await anext(answer.aiter_raw())) > 0
    assert (await shopper.user(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize("kind", ["huge", "gzip_bomb"])
async def test_a_large_body_may_come_after_the_work(sandbox: SandboxProcess, shopper: Shopper, kind: str) -> None:
    data = await shopper.connect_shop(seller := sandbox.next_seller())
    for when in ("before", "after"):
        await shopper.fault(kind, endpoint="shop_token", open_id=seller, bytes=100, when=when)
    for _ in range(2):
        assert "code" not in (await shopper.shop_refresh_answer(data["refresh_token"])).json()
    assert (await shopper.ledger(f"/accounts/{seller}"))["grants"][0]["refreshes"] == 1
    assert (await shopper.shop_refresh(data["refresh_token"]))["code"] == 36004005


async def test_a_lost_shop_answer_has_rotated(sandbox: SandboxProcess, shopper: Shopper) -> None:
    data = await shopper.connect_shop(seller := sandbox.next_seller())
    await shopper.fault("answer_lost", endpoint="shop_token", open_id=seller)
    with pytest.raises(httpx.RemoteProtocolError):
        await shopper.shop_refresh(data["refresh_token"])
    assert (await shopper.shop_refresh(data["refresh_token"]))["code"] == 36004005


async def test_a_dead_token_names_who_presents_it(sandbox: SandboxProcess, shopper: Shopper, tokens: Json) -> None:
    await shopper.refresh(tokens["refresh_token"])
    await shopper.refresh(tokens["refresh_token"])
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as other:
        await Shopper(other).refresh(tokens["refresh_token"])
    path = f"/sandbox/ledger/dead?{urlencode({'open_id': tokens['open_id']})}"
    (dead,) = (await shopper.client.get(path)).json()["tokens"]
    assert (dead["what"], dead["outcome"], dead["generation"], dead["presented"]) == ("refresh", "reused", 1, 2)
    assert sorted(dead["connections"].values()) == [1, 1]
