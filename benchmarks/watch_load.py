"""Watches one run with many streams over one connection, and notes when it heard of which change.

A process of its own, which reads its Plan as JSON and writes what each stream heard: pairs of a sequence number and the
time it came at. Like benchmarks.load it costs little beside the service; it reads no more of a message than its number.
"""

import json
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tokhub.sync.v1 import sync_pb2

from benchmarks.load import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    METADATA,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    header_blocks,
)

PATH = "/tokhub.sync.v1.SyncService/WatchSync"
PREFIX = 5  # bytes before each message
# A watch has no deadline.
HEADERS_SENT = {name: value for name, value in METADATA.items() if name != "grpc-timeout"}
Heard = list[tuple[int, float]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to watch: after the first message, nothing is read for so many seconds; the window is in bytes."""

    port: int
    run_id: str
    streams: int
    window: int
    rest: float = 0.0


class Watches:
    """Streams on one connection."""

    def __init__(self, plan: Plan) -> None:
        self._socket = socket.create_connection(("127.0.0.1", plan.port))
        self._unread = b""
        self._parts: defaultdict[int, bytes] = defaultdict(bytes)
        self.heard: defaultdict[int, Heard] = defaultdict(list)
        self.open = plan.streams
        settings = INITIAL_WINDOW_SIZE.to_bytes(2, "big") + plan.window.to_bytes(4, "big")
        window = frame(WINDOW_UPDATE, 0, 0, plan.window.to_bytes(4, "big"))
        body = sync_pb2.WatchSyncRequest(run_id=plan.run_id).SerializeToString()
        message = b"\x00" + len(body).to_bytes(4, "big") + body
        first, later = header_blocks(PATH, HEADERS_SENT)
        asked = [
            frame(HEADERS, END_HEADERS, 2 * number + 1, later if number else first)
            + frame(DATA, END_STREAM, 2 * number + 1, message)
            for number in range(plan.streams)
        ]
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + window + b"".join(asked))

    def read(self) -> None:
        """Wait for the server's next frames and take note of them."""
        received = self._socket.recv(1 << 18)
        if not received:
            raise ConnectionError("the server closed the connection")
        content, at = self._unread + received, 0
        while len(content) >= at + 9 and len(content) >= (end := at + 9 + int.from_bytes(content[at : at + 3], "big")):
            stream = int.from_bytes(content[at + 5 : at + 9], "big")
            self._note(content[at + 3], content[at + 4], stream, content[at + 9 : end])
            at = end
        self._unread = content[at:]

    def give_room(self, stream: int, size: int) -> None:
        """Let the server send so many bytes more, on a stream and on the connection."""
        told = size.to_bytes(4, "big")
        self._socket.sendall(frame(WINDOW_UPDATE, 0, 0, told) + frame(WINDOW_UPDATE, 0, stream, told))

    def _note(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA and payload:
            self._take(stream, payload)
            self.give_room(stream, len(payload))
        elif kind in (PING, SETTINGS) and not flags & ACK:
            self._socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self.open -= 1

    def _take(self, stream: int, payload: bytes) -> None:
        content = self._parts[stream] + payload
        while len(content) >= PREFIX and len(content) >= (end := PREFIX + int.from_bytes(content[1:PREFIX], "big")):
            message = sync_pb2.WatchSyncResponse.FromString(content[PREFIX:end])
            self.heard[stream].append((message.progress.sequence, time.time()))
            content = content[end:]
        self._parts[stream] = content


def run(plan: Plan) -> Sequence[Heard]:
    """Watch until every stream has ended."""
    watches = Watches(plan)
    while plan.rest and not watches.heard:
        watches.read()
    time.sleep(plan.rest)
    while watches.open:
        watches.read()
    return list(watches.heard.values())


if __name__ == "__main__":
    print(json.dumps(run(Plan(**json.load(sys.stdin)))))
