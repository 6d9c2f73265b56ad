"""Asks one gRPC method as fast as it answers, over one connection with many streams.

A process of its own, which reads its Plan as JSON and writes its Outcome. It sends HTTP/2 frames that were encoded
beforehand and looks at no more of an answer than its frame headers, so that a call costs it a fraction of what it costs
the server. An answered call has a DATA frame before its trailers; a failed one has trailers only.
"""

import json
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
WINDOW_UPDATE = 0x8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
WINDOW = 1 << 30  # bytes the server may send: more than a run asks for
INITIAL_WINDOW_SIZE = 0x4  # the setting's id
POST_OVER_HTTP = b"\x83\x86"  # entries 3 and 6 of HPACK's static table
NEWEST = 62  # index of the newest entry of HPACK's dynamic table
# What the suite's own clients send with every call.
METADATA = {
    "content-type": "application/grpc",
    "te": "trailers",
    "user-agent": "grpc-python-asyncio/1.85.0 grpc-c/53.0.0 (linux; chttp2)",
    "grpc-timeout": "30S",
    "x-request-id": "benchmark",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to ask: each body is the message of a request in hex, taken in turn."""

    port: int
    path: str
    bodies: Sequence[str]
    calls: int
    streams: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it."""

    seconds: float
    calls: int
    answered: int


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return one frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def text(value: str) -> bytes:
    """Return a text of HPACK shorter than 127 bytes."""
    return bytes((len(value),)) + value.encode()


def header_blocks(path: str, metadata: Mapping[str, str] = METADATA) -> tuple[bytes, bytes]:
    """Return the headers of the first request, which the server remembers, and of those that refer to them."""
    fields = {":path": path, ":authority": "127.0.0.1", **metadata}
    told = b"".join(b"\x40" + text(name) + text(value) for name, value in fields.items())
    referred = bytes(0x80 | (NEWEST + age) for age in reversed(range(len(fields))))
    return POST_OVER_HTTP + told, POST_OVER_HTTP + referred


def requests(plan: Plan) -> Iterator[bytes]:
    """Yield the frames of each call."""
    headers, later = header_blocks(plan.path)
    bodies = cycle([b"\x00" + len(body).to_bytes(4, "big") + body for body in map(bytes.fromhex, plan.bodies)])
    for number in range(plan.calls):
        stream = 2 * number + 1
        yield frame(HEADERS, END_HEADERS, stream, headers) + frame(DATA, END_STREAM, stream, next(bodies))
        headers = later


class Connection:
    """One connection to the server, counting what ends on it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self.answered = 0
        settings = INITIAL_WINDOW_SIZE.to_bytes(2, "big") + WINDOW.to_bytes(4, "big")
        window = frame(WINDOW_UPDATE, 0, 0, WINDOW.to_bytes(4, "big"))
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings) + window)

    def send(self, frames: bytes) -> None:
        """Send frames."""
        self._socket.sendall(frames)

    def ended(self) -> int:
        """Wait for the server's next frames; return how many calls ended in them."""
        received = self._socket.recv(1 << 18)
        if not received:
            raise ConnectionError("the server closed the connection")
        content, at, ended = self._unread + received, 0, 0
        while len(content) >= at + 9 and len(content) >= (end := at + 9 + int.from_bytes(content[at : at + 3], "big")):
            ended += self._read(content[at + 3], content[at + 4], content[at + 9 : end])
            at = end
        self._unread = content[at:]
        return ended

    def _read(self, kind: int, flags: int, payload: bytes) -> bool:
        """Take note of a frame; return whether it ended a call."""
        if kind == DATA:
            self.answered += 1
            return False
        if kind in (PING, SETTINGS) and not flags & ACK:
            self.send(frame(kind, ACK, 0, payload if kind == PING else b""))
        if kind == GOAWAY:
            raise ConnectionError(f"the server sends away: {payload[8:]!r}")
        return kind == RST_STREAM or (kind == HEADERS and bool(flags & END_STREAM))


def run(plan: Plan) -> Outcome:
    """Make the calls, so many at a time."""
    connection, waiting = Connection(plan.port), requests(plan)
    began = time.perf_counter()
    connection.send(b"".join(next(waiting) for _ in range(min(plan.streams, plan.calls))))
    open_calls = plan.calls
    while open_calls:
        ended = connection.ended()
        open_calls -= ended
        connection.send(b"".join(one for _, one in zip(range(ended), waiting, strict=False)))
    return Outcome(seconds=time.perf_counter() - began, calls=plan.calls, answered=connection.answered)


if __name__ == "__main__":
    print(json.dumps(asdict(run(Plan(**json.load(sys.stdin))))))
