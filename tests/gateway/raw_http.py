"""Sends bytes that no well-behaved client would send."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any


@dataclass
class RawAnswer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def exchange(port: int, request: bytes, patience: float = 10) -> RawAnswer:
    """Send a request as it stands and read the answer until the server closes, for so many seconds at most."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)).decode("latin-1")
        status_line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = headers.get("content-length")
        body = b"" if length is None or request.startswith(b"HEAD") else await reader.readexactly(int(length))
        return RawAnswer(int(status_line.split()[1]), headers, body)
    finally:
        writer.close()
        await writer.wait_closed()


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a request with these header lines and no others but Host and Content-Length."""
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, *length, "", ""]
    return "\r\n".join(lines).encode("utf-8") + body
