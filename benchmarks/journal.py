"""What it costs that new tokens are on the disk before anybody is answered."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tokhub.token.v1 import token_pb2

from benchmarks.figures import Figure, at_most
from benchmarks.ground import Ground
from benchmarks.service import Service, running_service, running_shop

ROUNDS = 5
SIZE = 200  # connections; each round refreshes all, one after another and then together
APPENDS = 300
RECORD = bytes(1_000)  # about as long as the journal's record of one refresh
TEAM = 1
MODES = ("off", "required")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One round in one mode."""

    alone: float  # microseconds of one refresh, with none beside it
    together: float  # refreshes per second, as many at once as RefreshAll begins
    cpu: float  # microseconds of the service for each of these


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return what the journal adds, round by round against a service that keeps none."""
    database = await ground.database("journal")
    async with AsyncExitStack() as stack:
        shop = stack.enter_context(running_shop(ground, delay=0))
        services: Mapping[str, Service] = {
            mode: await stack.enter_async_context(
                running_service(ground, ground.settings(database, shop.url, JOURNAL_MODE=mode))
            )
            for mode in MODES
        }
        await services["off"].take_in(range(SIZE), TEAM)
        connections = await references(services["off"])
        found: Mapping[str, list[Measured]] = {mode: [] for mode in MODES}
        for number in range(ROUNDS + 1):
            for mode, service in services.items():
                measured = await run(service, connections)
                if number:
                    found[mode].append(measured)
    return figures(found["off"], found["required"], appends(ground.directory))


async def references(service: Service) -> Sequence[token_pb2.ConnectionReference]:
    """Return what names each connection."""
    found = await service.connections.ListConnections(token_pb2.ListConnectionsRequest(page_size=SIZE))
    return [token_pb2.ConnectionReference(connection_id=one.id) for one in found.connections]


async def run(service: Service, connections: Sequence[token_pb2.ConnectionReference]) -> Measured:
    """Refresh every connection by itself, and then all of them."""
    began = time.perf_counter()
    for one in connections:
        await service.tokens.RefreshToken(token_pb2.RefreshTokenRequest(connection=one, request_id=uuid4().hex))
    alone = time.perf_counter() - began
    began, cpu = time.perf_counter(), service.program.cpu_seconds
    await service.refresh_all(TEAM, force=True)
    together, cpu = time.perf_counter() - began, service.program.cpu_seconds - cpu
    size = len(connections)
    return Measured(alone=alone / size * 1e6, together=size / together, cpu=cpu / size * 1e6)


def appends(directory: Path) -> Sequence[float]:
    """Return the microseconds of appending a record and having it on this disk."""
    times = []
    descriptor = os.open(directory / "appends", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(APPENDS):
        began = time.perf_counter()
        os.write(descriptor, RECORD)
        os.fdatasync(descriptor)
        times.append((time.perf_counter() - began) * 1e6)
    os.close(descriptor)
    return times


def figures(off: Sequence[Measured], required: Sequence[Measured], disk: Sequence[float]) -> Sequence[Figure]:
    """Return both modes, one against the other.

    With a journal a caller is answered before the row is saved, without one afterwards: its own wait may be the longer.
    """
    without = "without a journal"
    pairs = list(zip(required, off, strict=True))
    return (
        Figure(name=f"one refresh, {without}", unit="µs", rounds=[one.alone for one in off]),
        Figure(
            name="one refresh, journaled",
            unit="µs",
            rounds=[one.alone for one in required],
            floor=without,
            floors=[one.alone for one in off],
            limit=at_most(1.25),
        ),
        Figure(
            name="what a caller waits longer", unit="µs", rounds=[mine.alone - other.alone for mine, other in pairs]
        ),
        Figure(name="this disk: write and fdatasync of 1 kB", unit="µs", rounds=disk),
        Figure(name="CPU added by the journal", unit="µs", rounds=[mine.cpu - other.cpu for mine, other in pairs]),
        Figure(name=f"refreshes together, {without}", unit="per second", rounds=[one.together for one in off]),
        Figure(
            name="refreshes together, journaled",
            unit="per second",
            rounds=[one.together for one in required],
            floor=without,
            floors=[one.together for one in off],
        ),
    )
