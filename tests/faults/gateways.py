"""What cases of the gateway share: the whole suite, callers from several addresses, and watchers of a run."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from itertools import cycle
from types import MappingProxyType
from typing import Any

import httpx

from tests.faults.gateway_processes import GatewayReplica
from tests.faults.lab import Lab
from tests.faults.sync_processes import SyncReplica

FINAL = {"SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED"}
AT_ONCE = 50


NOTHING: Mapping[str, str] = MappingProxyType({})


async def suite(
    lab: Lab, *names: str, sync: Mapping[str, str] = NOTHING, gateways: Mapping[str, str] = NOTHING
) -> Sequence[GatewayReplica]:
    """Start a token and a sync service and gateways of these names, which know each other by certificates.

    sync is what the sync service is told, gateways what the gateways are.
    """
    lab.certify()
    await lab.replica()
    await lab.sync(**sync)
    return list(await asyncio.gather(*(lab.gateway(name, **gateways) for name in names)))


@dataclass(frozen=True)
class Ask:
    """A request that is made again and again; each time with these headers and more of its own."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    async def of(self, client: httpx.AsyncClient, more: Mapping[str, str]) -> str:
        """Return the status of one answer, with the code of a refusal."""
        answer = await client.get(self.path, headers={**self.headers, **more})
        if answer.is_error and answer.headers["content-type"].startswith("application/json"):
            return f"{answer.status_code} {answer.json()['error']['code']}"
        return str(answer.status_code)


async def tally(clients: Sequence[httpx.AsyncClient], ask: Ask, hops: Sequence[Mapping[str, str]]) -> Counter[str]:
    """Ask the clients in turn, AT_ONCE at a time, once with each of the headers; return how often each answer came."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(client: httpx.AsyncClient, more: Mapping[str, str]) -> str:
        async with slots:
            return await ask.of(client, more)

    return Counter(await asyncio.gather(*map(one, cycle(clients), hops)))


async def begin(gateway: GatewayReplica, sync: SyncReplica, job: str = "user") -> str:
    """Start a run of all stores and return its id."""
    answer = await gateway.admin.post("/admin/sync/run", json={"job": job}, headers={"Prefer": "respond-async"})
    run_id = str(answer.raise_for_status().json()["data"]["id"])
    sync.accepted = [*sync.accepted, run_id]
    return run_id


@dataclass
class Watcher:
    """A browser's EventSource: it remembers the last id and asks whoever is there for what comes after."""

    run_id: str
    seen: list[Mapping[str, Any]] = field(default_factory=list)
    resumed: int = 0

    @property
    def stores(self) -> list[str]:
        """The stores that have ended, as they were told."""
        return [one["storeCode"] for event in self.seen for one in event["endedStores"]]

    @property
    def sequences(self) -> list[int]:
        """The ids of the events."""
        return [event["sequence"] for event in self.seen]

    @property
    def state(self) -> str:
        """What the last event said of the run."""
        return str(self.seen[-1]["state"]) if self.seen else ""

    @property
    def at_end(self) -> bool:
        """Whether the run has ended."""
        return self.state in FINAL

    async def follow(self, gateways: Sequence[GatewayReplica]) -> None:
        """Watch the run to its end; a gateway that goes away is left for the next."""
        for gateway in gateways:
            with suppress(httpx.TransportError):
                await self.listen(gateway)
            if self.at_end:
                return
            self.resumed += 1

    async def listen(self, gateway: GatewayReplica) -> None:
        """Take what a gateway tells, until it ends."""
        headers = {"Last-Event-ID": str(self.sequences[-1])} if self.seen else {}
        path = f"/admin/sync/runs/{self.run_id}/events"
        async with gateway.admin.stream("GET", path, headers=headers) as answer, aclosing(events(answer)) as told:
            async for event in told:
                self.seen.append(event)


async def events(answer: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    """Yield what whole events say; one that is cut off is none."""
    data = ""
    async for line in answer.raise_for_status().aiter_lines():
        name, _, value = line.partition(": ")
        if name == "data":
            data = value
        if not line and data:
            yield json.loads(data)
            data = ""
