"""The campaign sees what a gateway should not answer."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.gateway_processes import GatewayReplica
from tests.faults.history import History

DOCUMENTED = b'{"success": false, "error": {"code": "STORE_NOT_FOUND"}}'
UNFORESEEN = b'{"success": false, "error": {"code": "INTERNAL_ERROR"}}'


@pytest.mark.parametrize(
    ("status", "kind", "body", "wrong"),
    [
        (200, "text/plain", b"fine", []),
        (404, "application/json", DOCUMENTED, []),
        (400, "text/html; charset=utf-8", b"<p>used already</p>", []),
        (500, "application/json", UNFORESEEN, ["500 INTERNAL_ERROR"]),
        (500, "text/html", b"<p>oh</p>", ["500 text/html"]),
        (400, "text/plain", b"Invalid HTTP request received.", ["400 "]),
        (404, "application/json", b'{"error": {"code": "MADE_UP"}}', ["404 MADE_UP"]),
    ],
)
async def test_an_answer_that_is_not_documented_is_named(
    tmp_path: Path, status: int, kind: str, body: bytes, wrong: list[str]
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} \r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    with closing(History.at(tmp_path / "history.jsonl")) as history:
        gateway = GatewayReplica("gateway", {}, tmp_path, history)
        gateway.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await gateway.visitor().get("/")
        await gateway.hang_up()
    server.close()
    await server.wait_closed()

    assert gateway.undocumented == wrong
    assert body in (tmp_path / "gateway.answers").read_bytes()
