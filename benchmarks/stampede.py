"""What happens when everybody asks for one expired token at once: one call to the provider, and how long it takes."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tokhub.token.v1 import token_pb2

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.ground import Database, Ground
from benchmarks.service import Service, Shop, age, running_service, running_shop

REPLICAS, CALLERS = 3, 100
ROUNDS = 9
DELAY = 0.1  # seconds the provider takes
HEARD = 0.3  # seconds in which every replica has heard of a change
EXPIRED, FRESH = -1.0, 86_400.0  # seconds left


@dataclass(kw_only=True)
class Crowd:
    """All callers of one connection at all replicas."""

    database: Database
    shop: Shop
    replicas: Sequence[Service]
    request: token_pb2.GetValidTokenRequest

    async def rush(self) -> float:
        """Let everybody ask at once; return the seconds until the last one has the token, the same one for all."""
        began = time.perf_counter()
        calls = [one.tokens.GetValidToken(self.request) for one in self.replicas for _ in range(CALLERS)]
        tokens = {(await call).access_token for call in calls}
        if len(tokens) != 1:
            raise RuntimeError(f"{len(tokens)} different tokens were given out")
        return time.perf_counter() - began

    async def rush_with(self, seconds_left: float) -> tuple[float, int]:
        """Let everybody ask for a token that has so much left; return the seconds and the calls to the provider."""
        await age(self.database, seconds_left)
        await asyncio.sleep(HEARD)
        before = self.asked()
        seconds = await self.rush()
        return seconds, self.asked() - before

    def asked(self) -> int:
        """Return how often the provider was shown a refresh token."""
        counts = self.shop.counts()
        return counts["refreshed"] + counts["refused"]


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return how many calls an expired token costs, and how long its callers wait."""
    database = await ground.database("stampede")
    async with AsyncExitStack() as stack:
        shop = stack.enter_context(running_shop(ground, delay=DELAY))
        settings = ground.settings(database, shop.url)
        replicas = [await stack.enter_async_context(running_service(ground, settings)) for _ in range(REPLICAS)]
        await replicas[0].take_in(range(1), team=1)
        request = token_pb2.GetValidTokenRequest(connection=await the_connection(replicas[0]))
        crowd = Crowd(database=database, shop=shop, replicas=replicas, request=request)
        await crowd.rush()
        return figures([(await crowd.rush_with(FRESH), await crowd.rush_with(EXPIRED)) for _ in range(ROUNDS)])


async def the_connection(service: Service) -> token_pb2.ConnectionReference:
    """Return what names the only connection."""
    found = await service.connections.ListConnections(token_pb2.ListConnectionsRequest())
    return token_pb2.ConnectionReference(connection_id=found.connections[0].id)


def figures(rounds: Sequence[tuple[tuple[float, int], tuple[float, int]]]) -> Sequence[Figure]:
    """Return calls and times; each round is one rush for a fresh token and one for an expired token."""
    asked = f"{REPLICAS} x {CALLERS} callers"
    calls = [calls for _, (_, calls) in rounds]
    return (
        Figure(name=f"calls to the provider for {asked}, fewest", unit="calls", rounds=[min(calls)], limit=at_least(1)),
        Figure(name=f"calls to the provider for {asked}, most", unit="calls", rounds=[max(calls)], limit=at_most(1)),
        Figure(
            name=f"{asked}, expired token: beyond the provider's {DELAY * 1e3:g} ms",
            unit="ms",
            rounds=[(seconds - DELAY) * 1e3 for _, (seconds, _) in rounds],
        ),
        Figure(
            name=f"{asked}, fresh token, from the cache",
            unit="ms",
            rounds=[seconds * 1e3 for (seconds, _), _ in rounds],
        ),
    )
