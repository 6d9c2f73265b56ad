"""What a store costs, and how much memory each service takes, from 300 stores to 100,000."""

import http.client
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tokhub.sync.v1 import sync_pb2

from benchmarks.figures import Figure, Limit, at_most
from benchmarks.ground import Ground
from benchmarks.processes import Program
from benchmarks.sync_lab import sync_lab

SIZES = (300, 3_000, 10_000, 100_000)
FEW = 3_000  # what more are held against: with 300, the run has ended before the service is warm
UNLIMITED = "1000000"
NO_MORE = at_most(1.2)  # of what it is with few


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run over so many stores cost, and a list of all of them after it."""

    stores: int
    start: float  # seconds until StartSync answered
    seconds: float
    service: float  # seconds of the sync service's processor
    database: float  # seconds of PostgreSQL's processors
    listed: float  # seconds until the gateway had listed all stores in one answer
    sync: float  # megabytes of the sync service, at most
    token: float
    gateway: float


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One figure of each size; a limit holds what many cost against what few do."""

    name: str
    unit: str
    of: Callable[[Cost], float]
    limit: Limit | None = None

    def figure(self, one: Cost, few: Cost) -> Figure:
        """Return it for one size."""
        return Figure(
            name=f"{one.stores:,} stores: {self.name}",
            unit=self.unit,
            rounds=[self.of(one)],
            floor=f"{few.stores:,} stores",
            floors=[self.of(few)],
            limit=self.limit if one.stores > few.stores else None,
        )


QUANTITIES = (
    Quantity(name="until the run is stored", unit="s", of=lambda one: one.start),
    Quantity(name="speed", unit="stores/s", of=lambda one: one.stores / one.seconds),
    Quantity(
        name="CPU of the sync service for a store",
        unit="ms",
        of=lambda one: one.service / one.stores * 1e3,
        limit=NO_MORE,
    ),
    Quantity(
        name="CPU of the database for a store",
        unit="ms",
        of=lambda one: one.database / one.stores * 1e3,
        limit=NO_MORE,
    ),
    Quantity(name="all of them in one answer of the gateway", unit="s", of=lambda one: one.listed),
    Quantity(name="memory of the sync service, at most", unit="MB", of=lambda one: one.sync, limit=NO_MORE),
    # It keeps up to 50,000 tokens at hand, two to three kilobytes each.
    Quantity(name="memory of the token service, at most", unit="MB", of=lambda one: one.token, limit=at_most(3)),
    # It holds nothing of a store, but for the answer that lists them all.
    Quantity(name="memory of the gateway that listed them, at most", unit="MB", of=lambda one: one.gateway),
)


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return the figures of every size, beside those of few."""
    costs = {stores: await cost(ground, stores) for stores in SIZES}
    return [quantity.figure(one, costs[FEW]) for one in costs.values() for quantity in QUANTITIES]


async def cost(ground: Ground, stores: int) -> Cost:
    """Sync the accounts of all stores, whose tokens are fresh: one call a store."""
    async with sync_lab(ground, f"scale_{stores}", rate_limit=UNLIMITED, videos="20") as lab:
        await lab.add_stores(stores)
        replica, key = lab.replica(TIKTOK_RATE_LIMIT_PER_MINUTE=UNLIMITED), secrets.token_hex(24)
        service, database, began = replica.program.cpu_seconds, ground.database_cpu_seconds, time.perf_counter()
        run = await replica.start(sync_pb2.JOB_USER)
        start = time.perf_counter() - began
        await replica.finish(run, stores)
        seconds = time.perf_counter() - began
        service, database = replica.program.cpu_seconds - service, ground.database_cpu_seconds - database
        gateway = lab.gateway(replica, key)
        return Cost(
            stores=stores,
            start=start,
            seconds=seconds,
            service=service,
            database=database,
            listed=list_stores(gateway, key, stores),
            sync=replica.program.peak_memory,
            token=lab.token.peak_memory,
            gateway=gateway.peak_memory,
        )


def list_stores(gateway: Program, key: str, stores: int) -> float:
    """Ask for all stores at once; return the seconds until all are there."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.wait_for("serving")["port"])
    began = time.perf_counter()
    connection.request("GET", "/admin/stores", headers={"X-API-KEY": key})
    body = connection.getresponse().read()
    seconds = time.perf_counter() - began
    listed = len(json.loads(body)["data"])
    if listed != stores:
        raise RuntimeError(f"{listed} of {stores} stores were listed")
    return seconds
