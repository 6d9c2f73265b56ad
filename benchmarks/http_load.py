"""Asks an HTTP server as fast as it answers, over many connections with one request each.

A process of its own, which reads its Plan as JSON and writes its Outcome. Requests are bytes that were written
beforehand, and of an answer no more is read than its status and its length.
"""

import json
import re
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from selectors import EVENT_READ, DefaultSelector

from benchmarks.load import Outcome

OK = b"200"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to ask: whole requests, taken in turn."""

    port: int
    requests: Sequence[str]
    calls: int
    connections: int


class Connection:
    """One connection to the server, on which one answer is waited for."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self.socket.sendall(request)

    def status(self) -> bytes | None:
        """Return the answer's status when it is whole now."""
        received = self.socket.recv(1 << 16)
        if not received:
            raise ConnectionError("the server closed the connection")
        self._unread += received
        head, _, body = self._unread.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return None
        self._unread = b""
        return head[9:12]


def run(plan: Plan) -> Outcome:
    """Ask so often, over so many connections at a time."""
    waiting = islice(cycle([request.encode() for request in plan.requests]), plan.calls)
    selector = DefaultSelector()
    connections = [Connection(plan.port) for _ in range(plan.connections)]
    for connection in connections:
        selector.register(connection.socket, EVENT_READ, connection)
    statuses: list[bytes] = []
    began = time.perf_counter()
    for connection in connections:
        connection.ask(next(waiting))
    while len(statuses) < plan.calls:
        for ready, _ in selector.select():
            status = ready.data.status()
            if status is not None:
                statuses.append(status)
                if request := next(waiting, b""):
                    ready.data.ask(request)
    return Outcome(seconds=time.perf_counter() - began, calls=plan.calls, answered=statuses.count(OK))


if __name__ == "__main__":
    print(json.dumps(asdict(run(Plan(**json.load(sys.stdin))))))
