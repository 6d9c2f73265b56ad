"""Faults of those who hold connections: idle ones, requests that trickle in, a thousand streams at once."""

import asyncio
import re
import socket
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from libs.clock import SystemClock
from services.gateway.connections import MOST_WAITING, PATIENCE
from tests.faults.canaries import metrics
from tests.faults.case import case, expect
from tests.faults.gateway_processes import GatewayReplica
from tests.faults.gateways import begin, suite
from tests.faults.lab import Lab
from tests.faults.runs import mint_stores
from tests.faults.waiting import until

IDLE = 10_000
SLOW = 200  # of requests whose head trickles, and of those whose body does
STREAMS = 1_000
AT_ONCE = 200
BREATH = 0.02  # seconds, for the other cases of this process
# Seconds: one on a quiet machine. What is slowest is told and not judged: who floods and who asks share this process.
MOSTLY_WITHIN = 3.0
CALLS = 20
ADMITTED = 100  # connections that a count may be late by
WATCHES = re.compile(r"^tokhub_rpc_calls_total\{.*WatchSync.*\} (\S+)$", re.MULTILINE)
GONE_WITHIN = 90.0  # seconds

HEAD = b"GET /admin/stores HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
BODY = b"POST /webhooks/tiktok HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n"


@case(
    "S20 idle",
    fault=f"{IDLE} connections that say nothing, {SLOW} heads and {SLOW} bodies that come a byte at a time",
    expected=f"at most {MOST_WAITING} are kept, none beyond {PATIENCE} s; operators are answered within a second",
)
async def nothing_is_said(lab: Lab) -> str:
    (gateway,) = await suite(lab, "gateway")
    await lab.syncs[0].create_stores("shop-1")
    before = gateway.descriptors
    async with probing(gateway) as waits, held() as sockets:
        sockets.extend(await connect(gateway, b"", IDLE))
        slow = [*await connect(gateway, HEAD, SLOW), *await connect(gateway, BODY, SLOW)]
        sockets.extend(slow)
        kept = gateway.descriptors - before
        expect(2 * SLOW < kept <= MOST_WAITING + ADMITTED, f"{kept} connections kept of {IDLE + 2 * SLOW}")

        async def all_gone() -> bool:
            return gateway.descriptors <= before + ADMITTED

        async with trickling(slow):
            took = await until("the end of all idle connections", all_gone, within=GONE_WITHIN)
    return f"{kept} of {IDLE + 2 * SLOW} kept, none {took:.0f} s later; {quickness(waits)}"


@case(
    "S20 streams",
    fault=f"{STREAMS} event streams of one run at once, then all cut",
    expected="each gets its events; operators are answered within a second; no watch goes on for nobody",
    latency_user_ms="3000",
)
async def many_streams(lab: Lab) -> str:
    (gateway,) = await suite(lab, "gateway", sync={"SYNC_CONCURRENCY": "1"})
    codes = await mint_stores(lab, 60)
    run_id = await begin(gateway, lab.syncs[0])
    before = gateway.descriptors
    lines = (f"GET /admin/sync/runs/{run_id}/events HTTP/1.1", "Host: 127.0.0.1", f"X-API-KEY: {gateway.key}", "", "")
    async with held() as streams:
        streams.extend(await connect(gateway, "\r\n".join(lines).encode(), STREAMS))
        told = await asyncio.gather(*map(first_event, streams))
        opened = gateway.descriptors - before
        async with probing(gateway, codes[0]) as waits:

            async def asked_enough() -> bool:
                return len(waits) >= CALLS

            await until(f"{CALLS} calls of an operator", asked_enough, within=60)

    async def all_gone() -> bool:
        return gateway.descriptors <= before + ADMITTED and await ended_watches(lab) == STREAMS

    took = await until("the end of all streams", all_gone, within=GONE_WITHIN)
    expect(all(told), f"{sum(told)} of {STREAMS} streams began")
    (await gateway.admin.post(f"/admin/sync/runs/{run_id}/cancel")).raise_for_status()
    return f"{sum(told)} streams on {opened} connections, gone {took:.0f} s after they were cut; {quickness(waits)}"


async def connect(gateway: GatewayReplica, said: bytes, count: int) -> list[socket.socket]:
    """Open connections, AT_ONCE at a time, and say the same on each."""
    loop = asyncio.get_running_loop()

    async def one() -> socket.socket:
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", gateway.metrics_port))
        await loop.sock_sendall(client, said)
        return client

    opened: list[socket.socket] = []
    while len(opened) < count:
        opened.extend(await asyncio.gather(*(one() for _ in range(min(AT_ONCE, count - len(opened))))))
        await SystemClock().sleep(BREATH)
    return opened


@asynccontextmanager
async def held() -> AsyncIterator[list[socket.socket]]:
    """Yield a list of sockets that are closed in the end."""
    sockets: list[socket.socket] = []
    try:
        yield sockets
    finally:
        for one in sockets:
            one.close()


@asynccontextmanager
async def trickling(sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Say one more byte on each, every second."""

    async def trickle() -> None:
        while True:
            for one in sockets:
                with suppress(OSError):
                    one.send(b"x")
            await SystemClock().sleep(1)

    task = asyncio.create_task(trickle())
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def probing(gateway: GatewayReplica, code: str = "shop-1") -> AsyncIterator[list[float]]:
    """Ask for a store again and again over new connections; yield the seconds each answer took."""
    waits: list[float] = []
    client = gateway.visitor(Connection="close", **{"X-API-KEY": gateway.key})

    async def ask() -> None:
        while True:
            began = time.monotonic()
            (await client.get(f"/admin/stores/{code}")).raise_for_status()
            waits.append(time.monotonic() - began)
            await SystemClock().sleep(0.2)

    task = asyncio.create_task(ask())
    try:
        yield waits
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def quickness(waits: Sequence[float]) -> str:
    """Return how quickly an operator was answered; raise Missed when it was too slow."""
    mostly = statistics.median(waits)
    seen = f"{len(waits)} calls of an operator: {mostly * 1000:.0f} ms mostly, {max(waits) * 1000:.0f} ms at most"
    expect(mostly < MOSTLY_WITHIN, seen)
    return seen


async def first_event(client: socket.socket) -> bool:
    """Return whether a stream has begun to tell."""
    loop, said = asyncio.get_running_loop(), b""
    async with asyncio.timeout(60):
        while b"data: " not in said and (more := await loop.sock_recv(client, 65_536)):
            said += more
    return said.startswith(b"HTTP/1.1 200") and b"data: " in said


async def ended_watches(lab: Lab) -> int:
    """Return how many watches of runs have ended in the sync service."""
    told = await asyncio.to_thread(metrics, lab.syncs[0].metrics_port)
    return int(sum(float(count) for count in WATCHES.findall(told.decode())))
