"""Faults of callers on the wire: no protobuf, no method, no HTTP/2, too much of everything at once."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from tokhub.token.v1 import token_pb2

from libs.rpc.server import MAX_STREAMS
from tests.faults.bad_values import MARK, MEBIBYTE
from tests.faults.canaries import metrics
from tests.faults.case import case, expect
from tests.faults.http2 import (
    CANCEL,
    DATA,
    END_HEADERS,
    GOAWAY,
    GRPC,
    HEADERS,
    RST_STREAM,
    Connection,
    block,
    connection,
    frame,
    message,
)
from tests.faults.lab import Lab
from tests.faults.processes import Replica, ServiceProcess
from tests.faults.products import reference
from tests.faults.rpc_requests import at_once, call, methods_of, raw_channel
from tests.faults.runs import connect_stores, tallied
from tests.faults.waiting import until

METHOD = "/tokhub.token.v1.TokenService/GetValidToken"
GOOD = token_pb2.GetValidTokenRequest(connection=reference("shop-1")).SerializeToString()
MALFORMED: Mapping[str, bytes] = {
    "longer than it is": b"\x0a\xff\xff\xff\x7f",
    "an endless number": b"\x08" + b"\xff" * 11,
    "a wire type that is none": b"\x0f",
    "a group that does not end": b"\x0b",
    "100,000 groups in each other": b"\x0b" * 100_000,
    "messages that end in the middle": b"\x0a\x7f" * 500,
    "noise": b"\xff" * 1000,
}
UNKNOWN = (
    f"/tokhub.token.v1.TokenService/{MARK}",
    f"/{MARK}.v1.TokenService/GetValidToken",
    f"{METHOD}/",
    f"{METHOD}?{MARK}",
    f"/{MARK}",
    "/",
    "//",
    f"/{MARK}/" + "a" * 8_000,
)
CONTENT_TYPES = ("text/html", "application/json", "application/x-www-form-urlencoded", "", f"{MARK}\u00e9")
CALL: Mapping[str, str | bytes] = {"content-type": "application/grpc"}
BINARY: Mapping[str, str | bytes] = {"x-request-id": f"{MARK}\u00e9", "x-actor": f"{MARK}\u00e9"}
NOT_HTTP2: Mapping[str, bytes] = {
    "HTTP/1.1": f"GET {METHOD} HTTP/1.1\r\nHost: {MARK}\r\n\r\n".encode(),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),
    "noise": bytes(range(256)) * 64,
    "a broken preface": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    "a frame of 16 MB": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(100),
}
SERVED = "FRESH 1"
REFUSED = (7).to_bytes(4, "big")  # REFUSED_STREAM: not looked at, to be tried again
STREAMS = 10_000
RESETS = 20_000
MOST_GROWTH = 300  # MiB


async def world(lab: Lab) -> Replica:
    """Start both services, with one store."""
    replica = await lab.replica(LOG_LEVEL="info")
    await connect_stores(lab, await lab.sync(), "shop-1")
    return replica


@case(
    "B08 protobuf",
    fault="bytes that are no message, sent to every method of both services; methods that there are not",
    expected="INVALID_ARGUMENT with INVALID_FIELD for the first, UNIMPLEMENTED for the second; others are served",
)
async def no_messages(lab: Lab) -> str:
    replica = await world(lab)
    async with served_meanwhile(replica) as served, raw_channel(replica) as one, raw_channel(lab.syncs[0]) as other:
        channels = {replica.name: one, lab.syncs[0].name: other}
        calls = [
            partial(call, channels[process.name], method, content)
            for process, method in methods_of(lab)
            for content in MALFORMED.values()
        ]
        ended = Counter(map(str, await at_once(calls)))
        unknown = Counter([status_in(await answer_of(replica, path)) for path in UNKNOWN])
    expect(set(ended) == {"INVALID_ARGUMENT INVALID_FIELD request"}, ended)
    expect(set(unknown) == {"12"}, unknown)
    expect_unnamed(lab)
    return f"{ended.total()} x INVALID_FIELD; {unknown.total()} methods that are none: UNIMPLEMENTED; {served()}"


async def answer_of(replica: Replica, path: str, headers: Mapping[str, str | bytes] = CALL) -> bytes:
    """Return the blocks of an answer to a call on a connection of its own."""
    async with connection(port_of(replica)) as peer:
        return await peer.call({":path": path, **CALL, **headers}, GOOD)


def port_of(process: ServiceProcess) -> int:
    """Return where a service listens."""
    return int(process.address.rpartition(":")[2])


def status_in(told: bytes) -> str:
    """Return the status of an answer's blocks, or how it ended without any."""
    found = re.search(rb"grpc-status.(\d+)", told, re.DOTALL)
    ended = re.search(rb"(RST_STREAM \d+|GOAWAY|CLOSED)", told)
    how = found or ended
    return how[1].decode() if how else f"{told[:40]!r}"


def expect_unnamed(lab: Lab) -> None:
    """Expect that what callers named is in no log and no metric."""
    for process in lab.processes:
        told = process.log.read_bytes() + metrics(process.metrics_port)
        expect(MARK.encode() not in told, f"{process.name} repeats what it was called")


@asynccontextmanager
async def served_meanwhile(replica: Replica, *also: str) -> AsyncIterator[Callable[[], str]]:
    """Ask for a token again and again meanwhile and afterwards; yield what tells of it.

    Expects a token each time, or what else is named.
    """
    found: list[tuple[str, float]] = []

    async def ask() -> None:
        while True:
            outcome = await replica.ask("shop-1")
            found.append((str(outcome), outcome.took))
            await asyncio.sleep(0.05)

    task = asyncio.create_task(ask())
    try:
        yield lambda: f"others: {tallied([said for said, _ in found])}, the slowest in {max(found, key=slow)[1]:.1f} s"
        enough = len(found) + 2

        async def is_served() -> bool:
            return len(found) >= enough and found[-1][0] == SERVED

        await until("an answer to others afterwards", is_served)
    finally:
        task.cancel()
    told = {said for said, _ in found}
    expect({SERVED} <= told <= {SERVED, *also}, tallied([said for said, _ in found]))


def slow(asked: tuple[str, float]) -> float:
    """Return how long a call took."""
    return asked[1]


@case(
    "B08 calls",
    fault="other content types, 10 MiB of metadata, 16 MB frames, HTTP/1.1, TLS and noise where HTTP/2 is expected",
    expected="more metadata than 16 KiB is refused, what is no HTTP/2 cut off; memory as before; others are served",
)
async def no_calls(lab: Lab) -> str:
    replica = await world(lab)
    before = memory(replica)
    async with served_meanwhile(replica) as served:
        typed = {kind: status_in(await answer_of(replica, METHOD, {"content-type": kind})) for kind in CONTENT_TYPES}
        large = {
            f"{size >> 10} KiB": status_in(await answer_of(replica, METHOD, {"x-large": MARK + "a" * size}))
            for size in (4 << 10, 32 << 10, 10 * MEBIBYTE)
        }
        binary = status_in(await answer_of(replica, METHOD, BINARY))
        closed = {what: await closes(port_of(replica), content) for what, content in NOT_HTTP2.items()}
    grown = memory(replica) - before
    expect(large["4 KiB"] == "0" and large["32 KiB"] == "8" and large["10240 KiB"] != "0", large)
    expect(all(closed.values()), closed)
    expect(grown < MOST_GROWTH, f"{grown} MiB more")
    expect_unnamed(lab)
    return (
        f"content types, which gRPC does not look at, {Counter(typed.values())}; metadata {large}, in no alphabet "
        f"{binary}; {len(closed)} others cut off; {grown} MiB more; {served()}"
    )


async def closes(port: int, content: bytes) -> bool:
    """Return whether a server closes a connection on which this comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(content)
        async with asyncio.timeout(30):
            while await reader.read(MEBIBYTE):
                pass
    except TimeoutError:
        return False
    except OSError:
        return True
    finally:
        writer.transport.abort()
    return True


def memory(process: ServiceProcess) -> int:
    """Return how much memory a process holds, in MiB."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) >> 10


def open_files(process: ServiceProcess) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{process.process.pid}/fd").iterdir()))


def begun(peer: Connection, *contents: bytes) -> bytes:
    """Return a call that has begun, on the wire; without content it waits for one."""
    stream = peer.new_stream()
    headers = block({**GRPC, ":path": METHOD, **CALL})
    parts = [frame(HEADERS, headers, flags=END_HEADERS, stream=stream)]
    parts += [frame(DATA, content, stream=stream) for content in contents]
    return b"".join(parts)


@case(
    "B08 streams",
    fault="one connection opens 10,000 calls and never says what it wants; then another one",
    expected="no more than 5,000 are taken up, memory is bounded, nobody else is disturbed; then all is as before",
)
async def streams_without_end(lab: Lab) -> str:
    replica = await world(lab)
    before, files, refused = memory(replica), open_files(replica), []
    async with served_meanwhile(replica) as served:
        for _ in range(2):
            async with connection(port_of(replica)) as peer:
                while peer.last_stream < 2 * STREAMS and await peer.send(*(begun(peer) for _ in range(100))):
                    # One that is answered, so that those before it have been taken up.
                    await peer.call({":path": METHOD, **CALL}, GOOD)
                refused.append(sum(one.kind == RST_STREAM and one.content == REFUSED for one in peer.frames))
        grown = memory(replica) - before
    left = open_files(replica) - files
    expect(min(refused) >= STREAMS - MAX_STREAMS, f"{refused} refused")
    expect(grown < MOST_GROWTH and left < 10, f"{grown} MiB and {left} open files more")
    return f"{STREAMS} calls twice: {refused} refused; {grown} MiB and {left} open files more; {served()}"


@case(
    "B08 resets",
    fault="calls that are cancelled as soon as they are sent, 20,000 on one connection as fast as they go out",
    expected="memory is bounded; who else is turned away meanwhile is told to try again, and then served",
)
async def rapid_resets(lab: Lab) -> str:
    replica = await world(lab)
    before = memory(replica)
    async with served_meanwhile(replica, "UPSTREAM_UNAVAILABLE") as served, connection(port_of(replica)) as peer:
        reading = asyncio.create_task(drained(peer))
        while peer.last_stream < 2 * RESETS and await peer.send(*(given_up(peer) for _ in range(100))):
            pass
        reading.cancel()
    grown = memory(replica) - before
    expect(grown < MOST_GROWTH, f"{grown} MiB more")
    cut = "cut off" if peer.ended or any(one.kind == GOAWAY for one in peer.frames) else "not cut off"
    return f"{peer.last_stream // 2 + 1} calls and resets, {cut}; {grown} MiB more; {served()}"


def given_up(peer: Connection) -> bytes:
    """Return a call that is cancelled at once, on the wire."""
    return begun(peer, message(GOOD)) + frame(RST_STREAM, CANCEL.to_bytes(4, "big"), stream=peer.last_stream)


async def drained(peer: Connection) -> None:
    """Read whatever comes."""
    async for _ in peer.arriving():
        pass
