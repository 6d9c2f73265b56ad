"""RefreshAll: every connection that is due, once, whoever asks and whoever leaves."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration
from prometheus_client import CollectorRegistry
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.clock import SystemClock
from libs.errors import UpstreamUnavailable
from libs.rpc.client import open_channel
from libs.rpc.server import Readiness, RpcServer, RpcService
from services.token.adapters.bulk import PostgresBulk
from services.token.adapters.events import PostgresEvents
from services.token.adapters.refresh_runs import PostgresRefreshRuns
from services.token.core.batch import BatchTokens
from services.token.core.provider import Refused
from services.token.core.refresh_all import RefreshAll
from services.token.core.watch_tokens import TokenWatch
from services.token.servicers.token import TokenServicer
from tests.fixtures_sandbox import SandboxProcess
from tests.token.conftest import House
from tests.token.rpc_client import serving
from tests.token.token_process import environment, running

Told = list[tuple[str, str, str]]


class Serving:
    """A replica that serves, and what its callers hear."""

    def __init__(self, refresh_all: RefreshAll, stub: token_pb2_grpc.TokenServiceStub) -> None:
        self.refresh_all = refresh_all
        self.stub = stub
        self.told: Told = []

    async def ask(self, request: token_pb2.RefreshAllRequest | None = None) -> token_pb2.RefreshSummary:
        """Return the summary, which must come last; told holds name, outcome and reason of every part."""
        summary: list[token_pb2.RefreshSummary] = []
        async for news in self.stub.RefreshAll(request or token_pb2.RefreshAllRequest()):
            assert not summary
            if news.WhichOneof("news") == "summary":
                summary.append(news.summary)
            else:
                outcome = token_pb2.RefreshOutcome.Name(news.ended.outcome).removeprefix("REFRESH_OUTCOME_")
                self.told.append((news.ended.name, outcome, news.ended.reason))
        return summary[0]


@asynccontextmanager
async def replica(house: House, name: str = "replica-1", *, concurrency: int = 4) -> AsyncIterator[Serving]:
    core = house.replica(name)
    refresh_all = RefreshAll(
        runs=PostgresRefreshRuns(house.pool), refresher=core.refresher, clock=SystemClock(), concurrency=concurrency
    )
    batch = BatchTokens(rows=PostgresBulk(house.pool), tokens=core.tokens)
    watch = TokenWatch(PostgresEvents(house.pool))
    servicer = TokenServicer(tokens=core.tokens, batch=batch, refresh_all=refresh_all, watch=watch)
    service = RpcService(
        name="tokhub.token.v1.TokenService",
        register=lambda server: token_pb2_grpc.add_TokenServiceServicer_to_server(servicer, server),
    )
    server = RpcServer(listen="127.0.0.1:0", services=[service], registry=CollectorRegistry(), readiness=Readiness())
    async with server, open_channel(f"127.0.0.1:{server.port}") as channel:
        yield Serving(refresh_all, token_pb2_grpc.TokenServiceStub(channel))
        house.provider.gate.set()
        refresh_all.close()
        await refresh_all.drain()
        await core.refresher.drain()


def counts(summary: token_pb2.RefreshSummary) -> tuple[int, int, int, int]:
    return summary.total, summary.refreshed, summary.skipped, summary.failed


async def connect_expired(house: House, count: int) -> None:
    for number in range(count):
        await house.expire(await house.connect(f"shop-{number}"))


async def until_presented(house: House, count: int) -> None:
    async with asyncio.timeout(10):
        while True:
            if len(house.provider.presented) >= count:
                return
            await asyncio.sleep(0.01)


async def test_each_connection_is_told_of_once_and_then_summed_up(house: House) -> None:
    await house.expire(await house.connect("due"))
    await house.connect("fresh")
    refused = await house.connect("refused")
    await house.pool.execute("UPDATE connections SET status = 'REAUTH_REQUIRED' WHERE id = $1", refused.id)
    expired = await house.connect("expired")
    await house.pool.execute("UPDATE connections SET refresh_expires_at = now() WHERE id = $1", expired.id)
    gone = await house.connect("gone")
    await house.pool.execute("UPDATE connections SET status = 'DISCONNECTED' WHERE id = $1", gone.id)

    async with replica(house) as one:
        summary = await one.ask()

    assert sorted(one.told) == [
        ("due", "REFRESHED", ""),
        ("expired", "FAILED", "REAUTH_REQUIRED"),
        ("fresh", "SKIPPED", "NOT_DUE"),
        ("refused", "FAILED", "REAUTH_REQUIRED"),
    ]
    assert (counts(summary), house.provider.refreshes) == ((4, 1, 1, 2), 1)


@pytest.mark.parametrize(
    ("left", "within", "due"),
    [(59, None, True), (61, None, False), (61, 7200, False), (20, 1800, True), (40, 1800, False)],
)
async def test_a_margin_is_never_more_than_half_of_a_life(
    house: House, left: int, within: int | None, due: bool
) -> None:
    await house.leave(await house.connect(), left=timedelta(minutes=left))
    request = token_pb2.RefreshAllRequest(within=None if within is None else Duration(seconds=within))

    async with replica(house) as one:
        assert (await one.ask(request)).refreshed == due


async def test_force_refreshes_what_is_not_due(house: House) -> None:
    await house.connect()

    async with replica(house) as one:
        assert counts(await one.ask(token_pb2.RefreshAllRequest(force=True))) == (1, 1, 0, 0)


async def test_a_team_is_refreshed_alone(house: House) -> None:
    await connect_expired(house, 2)
    await house.pool.execute("UPDATE connections SET team_id = 7 WHERE owner_id = 'shop-1'")

    async with replica(house) as one:
        await one.ask(token_pb2.RefreshAllRequest(team_id=7))

    assert one.told == [("shop-1", "REFRESHED", "")]


async def test_a_dry_run_says_what_would_happen_and_does_nothing(house: House) -> None:
    await connect_expired(house, 1)
    await house.connect("fresh")

    async with replica(house) as one:
        summary = await one.ask(token_pb2.RefreshAllRequest(dry_run=True))

    assert one.told == [("shop-0", "REFRESHED", "WOULD_REFRESH"), ("fresh", "SKIPPED", "NOT_DUE")]
    assert (counts(summary), summary.dry_run) == ((2, 1, 1, 0), True)
    assert house.provider.presented == []
    assert await house.pool.fetchval("SELECT count(*) FROM refresh_runs") == 0


async def test_a_failure_stops_nobody_else(house: House) -> None:
    await connect_expired(house, 5)
    house.provider.fail_before = [Refused("invalid_grant")]

    async with replica(house, concurrency=1) as one:
        summary = await one.ask()

    assert one.told[0] == ("shop-0", "FAILED", "REAUTH_REQUIRED")
    assert counts(summary) == (5, 4, 0, 1)


async def test_no_more_than_so_many_are_in_flight(house: House) -> None:
    await connect_expired(house, 6)
    house.provider.gate.clear()

    async with replica(house, concurrency=2) as one:
        asking = asyncio.create_task(one.ask())
        await until_presented(house, 2)
        await asyncio.sleep(0.2)
        in_flight = len(house.provider.presented)
        house.provider.gate.set()
        summary = await asking

    assert (in_flight, summary.refreshed) == (2, 6)


async def test_a_second_caller_joins_the_run_of_another_replica(house: House) -> None:
    await connect_expired(house, 6)
    house.provider.gate.clear()

    async with replica(house, "a", concurrency=2) as one, replica(house, "b", concurrency=2) as other:
        force = token_pb2.RefreshAllRequest(force=True)
        first = asyncio.create_task(one.ask(force))
        await until_presented(house, 2)
        second = asyncio.create_task(other.ask(force))
        await asyncio.sleep(0.2)
        house.provider.gate.set()
        summaries = [counts(await first), counts(await second)]

    assert summaries == [(6, 6, 0, 0)] * 2
    assert (house.provider.refreshes, sorted(one.told)) == (6, sorted(other.told))


async def test_a_run_goes_on_when_its_caller_leaves(house: House) -> None:
    await connect_expired(house, 3)
    house.provider.gate.clear()

    async with replica(house, concurrency=1) as one:
        call = one.stub.RefreshAll(token_pb2.RefreshAllRequest())
        await until_presented(house, 1)
        call.cancel()
        house.provider.gate.set()
        await until_presented(house, 3)
        await one.refresh_all.drain()

    assert house.provider.refreshes == 3
    assert await house.pool.fetchval("SELECT state FROM refresh_runs") == "FINISHED"


async def test_a_stop_waits_for_a_run_whose_caller_left_early(house: House) -> None:
    await connect_expired(house, 3)

    async with replica(house) as one:
        async with house.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE refresh_runs IN ACCESS EXCLUSIVE MODE")
            call = one.stub.RefreshAll(token_pb2.RefreshAllRequest())
            await asyncio.sleep(0.3)
            call.cancel()
            draining = asyncio.create_task(one.refresh_all.drain())
            await asyncio.sleep(0.1)
        await draining

    assert await house.pool.fetchval("SELECT state FROM refresh_runs") == "FINISHED"


async def test_a_stop_lands_what_is_in_flight_and_begins_no_more(house: House) -> None:
    await connect_expired(house, 6)
    house.provider.gate.clear()

    async with replica(house, concurrency=2) as one:
        asking = asyncio.create_task(one.ask())
        await until_presented(house, 2)
        one.refresh_all.close()
        house.provider.gate.set()
        with pytest.raises(UpstreamUnavailable) as stopped:
            await asking

    assert [outcome for _, outcome, _ in one.told] == ["REFRESHED"] * 2
    assert (len(house.provider.presented), stopped.value.retry_after) == (2, 2.0)
    assert await house.pool.fetchval("SELECT count(*) FROM connections WHERE generation = 2") == 2


async def test_the_run_of_a_dead_process_is_replaced(house: House) -> None:
    await connect_expired(house, 2)
    await house.pool.execute(
        "INSERT INTO refresh_runs (id, scope, lease_until) VALUES (gen_random_uuid(), '*/*/86400', now())"
    )

    async with replica(house) as one:
        assert (await one.ask()).refreshed == 2

    states = await house.pool.fetch("SELECT state FROM refresh_runs ORDER BY state")
    assert [row["state"] for row in states] == ["FINISHED", "LOST"]


async def test_callers_of_a_dead_process_are_told_to_ask_again(house: House) -> None:
    await house.pool.execute(
        "INSERT INTO refresh_runs (id, scope, lease_until) "
        "VALUES (gen_random_uuid(), '*/*/86400', now() + interval '0.5 s')"
    )

    async with replica(house) as one:
        with pytest.raises(UpstreamUnavailable):
            await one.ask()


async def test_sigterm_lands_what_is_in_flight(token_dsn: str, sandbox: SandboxProcess) -> None:
    accounts = [sandbox.next_account() for _ in range(3)]
    async with serving(token_dsn, sandbox) as client:
        for number, account in enumerate(accounts):
            await client.connect(f"shop-{number}", account)
    database = await asyncpg.connect(token_dsn)
    async with running(environment(token_dsn, sandbox) | {"REFRESH_CONCURRENCY": "2"}) as service:
        for account in accounts:
            sandbox.fault("slow", account, endpoint="token", seconds=1)
        async with open_channel(service.target) as channel:
            stub = token_pb2_grpc.TokenServiceStub(channel)
            asking = asyncio.create_task(drained(stub.RefreshAll(token_pb2.RefreshAllRequest(force=True))))
            await asyncio.sleep(0.5)
            status = await service.end()
            with pytest.raises(UpstreamUnavailable):
                await asking
    generations = await database.fetch("SELECT generation FROM credentials.connections ORDER BY number")
    await database.close()

    assert (status, [row["generation"] for row in generations]) == (0, [2, 2, 1])


async def drained(stream: AsyncIterable[token_pb2.RefreshAllResponse]) -> None:
    async for _ in stream:
        pass
