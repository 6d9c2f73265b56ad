"""Token services and a TikTok Shop as processes, and what is asked of them."""

import http.client
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count

from tokhub.token.v1 import token_pb2, token_pb2_grpc

from benchmarks.ground import Database, Ground
from benchmarks.processes import Program, running
from benchmarks.provider import first_token
from libs.rpc.client import open_channel

PATIENCE = 300.0  # seconds
ENTRIES = 500  # of one import

# What makes connections due for a refresh while their tokens still work, or not work any more; others hear of it.
AGE = """
    UPDATE connections SET access_expires_at = clock_timestamp() + make_interval(secs => $1),
        received_at = clock_timestamp() - interval '6 days'
    RETURNING pg_notify('connection_events', id::text)
"""

log_numbers = count(1)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A running TikTok Shop."""

    program: Program
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> Mapping[str, int]:
        """Return how many refreshes it was asked for, and how many of them it refused."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/counts")
        found: Mapping[str, int] = json.loads(connection.getresponse().read())
        return found


@contextmanager
def running_shop(ground: Ground, *, delay: float) -> Iterator[Shop]:
    """Run a TikTok Shop that takes delay seconds for a refresh."""
    said = ground.directory / f"{next(log_numbers)}.log"
    with running("benchmarks.provider", said, {"DELAY": str(delay)}) as program:
        yield Shop(program=program, port=program.wait_for("serving")["port"])


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running token service and a caller of it."""

    program: Program
    tokens: token_pb2_grpc.TokenServiceStub
    connections: token_pb2_grpc.ConnectionServiceStub

    async def take_in(self, accounts: range, team: int) -> None:
        """Import accounts that the Shop knows."""
        for start in range(accounts.start, accounts.stop, ENTRIES):
            part = range(start, min(start + ENTRIES, accounts.stop))
            entries = [
                token_pb2.ImportEntry(refresh_token=first_token(one), name=f"Shop {one}", team_id=team) for one in part
            ]
            request = token_pb2.ImportConnectionsRequest(entries=entries)
            response = await self.connections.ImportConnections(request, timeout=PATIENCE)
            odd = [one for one in response.results if one.outcome != token_pb2.IMPORT_OUTCOME_IMPORTED]
            if odd:
                raise RuntimeError(f"{len(odd)} of {len(entries)} entries were not imported: {odd[0].message}")

    async def refresh_all(self, team: int | None = None, *, force: bool = False) -> token_pb2.RefreshSummary:
        """Refresh all connections, or those of a team."""
        request = token_pb2.RefreshAllRequest(team_id=team, force=force)
        async for news in self.tokens.RefreshAll(request):
            if news.HasField("summary"):
                summary: token_pb2.RefreshSummary = news.summary
                return summary
        raise RuntimeError("RefreshAll ended without a summary")


@asynccontextmanager
async def running_service(ground: Ground, settings: Mapping[str, str]) -> AsyncIterator[Service]:
    """Run a token service that serves."""
    with running("services.token", ground.directory / f"{next(log_numbers)}.log", settings) as program:
        channel = open_channel(f"127.0.0.1:{program.wait_for('serving')['port']}", timeout=PATIENCE)
        async with channel:
            yield Service(
                program=program,
                tokens=token_pb2_grpc.TokenServiceStub(channel),
                connections=token_pb2_grpc.ConnectionServiceStub(channel),
            )


async def age(database: Database, seconds_left: float) -> None:
    """Let all access tokens of a database have so many seconds left."""
    async with database.pool() as pool:
        await pool.fetch(AGE, seconds_left)
