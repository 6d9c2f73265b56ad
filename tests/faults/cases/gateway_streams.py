"""Faults of event streams: the gateway that tells dies, or who listens no longer does."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress

from tests.faults.case import case, expect
from tests.faults.gateway_processes import GatewayReplica
from tests.faults.gateways import Watcher, begin, suite
from tests.faults.lab import Lab
from tests.faults.runs import end_of, mint_stores
from tests.faults.waiting import until

WATCHERS = 50
STORES = 60
FIRST_DEATH, SECOND_DEATH = 10, 30  # stores that every watcher has been told of

SILENT = 20  # clients that stop reading
MANY_STORES = 1_500  # so that what is to be told does not fit into what lies between a server and its client
SMALLEST = 1  # bytes; the kernel makes its least of it
SEGMENT = 536  # bytes; a large one would let the kernel buffer megabytes for a client that reads nothing
DROPPED_WITHIN = 150.0  # seconds; thirty and what a busy machine adds
MOST_GROWTH = 64 * 2**20  # bytes


@case(
    "P10",
    fault="two of three gateways are killed, one after the other, while 50 clients watch a run through the first",
    expected="all resume behind the last id they have; each store once, ids only rise, the end is told to each",
    latency_user_ms="400",
)
async def tellers_die(lab: Lab) -> str:
    gateways = await suite(lab, "first", "second", "third", sync={"SYNC_CONCURRENCY": "4"})
    codes = await mint_stores(lab, STORES)
    run_id = await begin(gateways[0], lab.syncs[0])
    watchers = [Watcher(run_id) for _ in range(WATCHERS)]
    async with asyncio.TaskGroup() as group:
        for one in watchers:
            group.create_task(one.follow(gateways))
        for gateway, told in zip(gateways, (FIRST_DEATH, SECOND_DEATH), strict=False):
            await until_told(watchers, told)
            await gateway.kill()
    for one in watchers:
        expect(sorted(one.stores) == sorted(codes), f"{len(one.stores)} ends of {len(set(one.stores))} stores")
        expect(one.sequences == sorted(set(one.sequences)), f"ids came twice or fell: {one.sequences}")
        expect(one.state == "SUCCEEDED" and one.seen[-1]["processed"] == STORES, one.seen[-1])
    resumed = {one.resumed for one in watchers}
    expect(resumed == {2}, f"resumed {resumed} times")
    numbers = sorted(len(one.seen) for one in watchers)
    row = await end_of(lab, run_id)
    heard = f"{numbers[0]} to {numbers[-1]} events"
    return f"{WATCHERS} clients resumed twice, {heard} told to each, {STORES} stores once each; {row['state']}"


async def until_told(watchers: Sequence[Watcher], stores: int) -> None:
    """Wait until every watcher was told of so many stores, and none of the end."""

    async def were_told() -> bool:
        return all(len(one.stores) >= stores for one in watchers)

    await until(f"{stores} ended stores told to all", were_told, within=120)
    expect(not any(one.at_end for one in watchers), "the run ended before the kill")


@case(
    "P11",
    fault=f"{SILENT} clients watch a run of {MANY_STORES} stores and read nothing, one reads",
    expected="the run ends and is told as ever; the silent are dropped after 30 s, memory and descriptors come back",
)
async def listeners_fall_silent(lab: Lab) -> str:
    (gateway,) = await suite(lab, "gateway")
    codes = await mint_stores(lab, MANY_STORES)
    await gateway.admin.get("/health")
    memory, sockets = gateway.memory, gateway.descriptors
    run_id = await begin(gateway, lab.syncs[0])
    reader = Watcher(run_id)
    async with asyncio.TaskGroup() as group:
        group.create_task(reader.follow([gateway]))
        silent = [await fall_silent(gateway, run_id) for _ in range(SILENT)]
    expect(sorted(reader.stores) == sorted(codes), f"{len(reader.stores)} stores told to the one who reads")
    expect(reader.state == "SUCCEEDED", reader.seen[-1])
    peak = gateway.memory

    async def all_dropped() -> bool:
        return streams_ended(gateway) == SILENT + 1 and gateway.descriptors <= sockets + 2

    waited = await until("the end of all silent streams", all_dropped, within=DROPPED_WITHIN)
    heard = [read_late(one) for one in silent]
    expect(not any(b"SUCCEEDED" in one for one in heard), "a silent client was told the end")
    grown = max(peak, gateway.memory) - memory
    expect(grown < MOST_GROWTH, f"{grown >> 20} MiB more memory")
    return (
        f"run of {MANY_STORES}: {reader.state}, {len(reader.seen)} events; {SILENT} streams and their sockets gone "
        f"{waited:.0f} s after its end, {max(map(len, heard))} bytes taken; {grown >> 20} MiB more memory at most"
    )


async def fall_silent(gateway: GatewayReplica, run_id: str) -> socket.socket:
    """Ask for a run's events and read none of them."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
    await loop.sock_connect(client, ("127.0.0.1", gateway.metrics_port))
    lines = (f"GET /admin/sync/runs/{run_id}/events HTTP/1.1", "Host: 127.0.0.1", f"X-API-KEY: {gateway.key}")
    await loop.sock_sendall(client, "\r\n".join((*lines, "", "")).encode())
    return client


def read_late(client: socket.socket) -> bytes:
    """Return what a silent client would find if it read after all."""
    heard = b""
    with client, suppress(OSError):
        while more := client.recv(65_536):
            heard += more
    return heard


def streams_ended(gateway: GatewayReplica) -> int:
    """Return how many event streams of a gateway have ended."""
    return sum(line["msg"] == "request" and line["path"].endswith("/events") for line in gateway.events())
