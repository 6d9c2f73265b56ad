"""WatchTokens: what happens to connections, in order, without a gap, never a token."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.clock import SystemClock
from libs.database.notify import NotificationListener
from libs.errors import InvalidField, UpstreamUnavailable
from libs.rpc.client import open_channel
from libs.rpc.server import Readiness, RpcServer, RpcService
from services.token.adapters.bulk import PostgresBulk
from services.token.adapters.events import PostgresEvents
from services.token.adapters.refresh_runs import PostgresRefreshRuns
from services.token.adapters.timeline import CHANNEL
from services.token.core import watch_tokens
from services.token.core.batch import BatchTokens
from services.token.core.refresh_all import RefreshAll
from services.token.core.watch_tokens import TokenWatch
from services.token.servicers.token import TokenServicer
from tests.token.conftest import MINUTE, House, store

ADD = (
    "INSERT INTO connection_events (connection_id, kind, epoch, generation) VALUES ($1, 'REFRESHED', 1, $2) "
    "RETURNING id"
)


class Watcher:
    """One stream."""

    def __init__(self, stub: token_pb2_grpc.TokenServiceStub, request: token_pb2.WatchTokensRequest) -> None:
        self._call = stub.WatchTokens(request)
        self._news = aiter(self._call)

    async def next(self) -> token_pb2.WatchTokensResponse:
        return await asyncio.wait_for(anext(self._news), 5)

    async def event(self) -> token_pb2.TokenEvent:
        return (await self.next()).event

    async def is_silent(self) -> bool:
        """Return whether nothing more comes; the stream is of no use afterwards."""
        try:
            await asyncio.wait_for(anext(self._news), 0.5)
        except TimeoutError:
            return True
        return False


class Serving:
    """A replica whose events can be watched."""

    def __init__(self, watch: TokenWatch, stub: token_pb2_grpc.TokenServiceStub) -> None:
        self.watch = watch
        self._stub = stub

    async def from_here(self, chosen: token_pb2.TokenFilter | None = None) -> tuple[Watcher, int]:
        """Return a stream that has begun, and where."""
        watcher = Watcher(self._stub, token_pb2.WatchTokensRequest(filter=chosen))
        return watcher, (await watcher.next()).begin.event_id

    async def after(self, event_id: int) -> Watcher:
        watcher = Watcher(self._stub, token_pb2.WatchTokensRequest(after_event_id=event_id))
        assert (await watcher.next()).begin.event_id == event_id
        return watcher


@pytest.fixture
async def served(house: House, token_dsn: str) -> AsyncIterator[Serving]:
    async with serving(house, token_dsn) as one:
        yield one


@asynccontextmanager
async def serving(house: House, token_dsn: str) -> AsyncIterator[Serving]:
    core, watch = house.replica(), TokenWatch(PostgresEvents(house.pool))
    refresh_all = RefreshAll(
        runs=PostgresRefreshRuns(house.pool), refresher=core.refresher, clock=SystemClock(), concurrency=1
    )
    batch = BatchTokens(rows=PostgresBulk(house.pool), tokens=core.tokens)
    servicer = TokenServicer(tokens=core.tokens, batch=batch, refresh_all=refresh_all, watch=watch)
    service = RpcService(
        name="tokhub.token.v1.TokenService",
        register=lambda server: token_pb2_grpc.add_TokenServiceServicer_to_server(servicer, server),
    )
    listener = NotificationListener(
        token_dsn, handlers={CHANNEL: lambda _: watch.wake()}, on_gap=watch.wake, clock=SystemClock()
    )
    server = RpcServer(listen="127.0.0.1:0", services=[service], registry=CollectorRegistry(), readiness=Readiness())
    async with listener, server, open_channel(f"127.0.0.1:{server.port}") as channel:
        yield Serving(watch, token_pb2_grpc.TokenServiceStub(channel))
        watch.close()


async def test_a_stream_tells_of_a_life_from_connect_to_reconnect(house: House, served: Serving) -> None:
    watcher, _ = await served.from_here()
    connection = await house.connect()
    await house.expire(connection)
    await house.replica().tokens.get_valid(store("shop-1"), MINUTE)

    events = [await watcher.event() for _ in range(2)]

    assert [token_pb2.TokenEventKind.Name(event.kind)[17:] for event in events] == ["CONNECTED", "ROTATED"]
    assert [event.generation for event in events] == [1, 2]
    assert {event.owner.id for event in events} == {"shop-1"}
    assert "act." not in str(events)


async def test_a_stream_goes_on_after_the_last_event_seen(house: House, served: Serving) -> None:
    connection = await house.connect()
    ids = [await house.pool.fetchval(ADD, connection.id, generation) for generation in (2, 3, 4)]

    watcher = await served.after(ids[0])

    assert [(await watcher.event()).event_id for _ in range(2)] == ids[1:]


async def test_zero_is_before_all_that_is_kept(house: House, served: Serving) -> None:
    await house.connect()

    assert (await (await served.after(0)).event()).kind == token_pb2.TOKEN_EVENT_KIND_CONNECTED


async def test_a_new_stream_begins_at_the_newest_of_transactions_of_any_length(house: House, served: Serving) -> None:
    connection = await house.connect()
    ids = [await house.pool.fetchval(ADD, connection.id, generation) for generation in (2, 3)]
    await house.pool.execute("ALTER TABLE connection_events DISABLE TRIGGER USER")
    for event_id, transaction in zip(ids, ("9", "10"), strict=True):
        await house.pool.execute(
            "UPDATE connection_events SET xid = $2::text::xid8 WHERE id = $1", event_id, transaction
        )
    await house.pool.execute("UPDATE connection_events SET xid = '1' WHERE id <> ALL ($1::bigint[])", ids)

    assert (await served.from_here())[1] == ids[1]


async def test_a_new_stream_begins_after_what_has_happened(house: House, served: Serving) -> None:
    await house.connect()

    watcher, begins = await served.from_here()

    assert begins == await house.pool.fetchval("SELECT max(id) FROM connection_events")
    assert await watcher.is_silent()


async def test_the_rows_of_a_slow_transaction_are_not_skipped(house: House, served: Serving) -> None:
    connection = await house.connect()
    watcher, _ = await served.from_here()
    async with house.pool.acquire() as database:
        slow = database.transaction()
        await slow.start()
        low = await database.fetchval(ADD, connection.id, 2)
        high = await house.pool.fetchval(ADD, connection.id, 3)
        served.watch.wake()
        await asyncio.sleep(0.5)
        await slow.commit()

    assert [(await watcher.event()).event_id for _ in range(2)] == [low, high]


async def test_a_late_row_with_a_low_id_is_told_once_and_in_a_fixed_order(house: House, served: Serving) -> None:
    connection = await house.connect()
    watcher, begins = await served.from_here()
    async with house.pool.acquire() as early, house.pool.acquire() as late:
        first, second = early.transaction(), late.transaction()
        await first.start()
        await second.start()
        await early.execute("SELECT pg_current_xact_id()")
        low = await late.fetchval(ADD, connection.id, 2)
        high = await early.fetchval(ADD, connection.id, 3)
        await first.commit()
        told_first = await watcher.event()
        await second.commit()

    again = await served.after(begins)
    assert [told_first.event_id, (await watcher.event()).event_id] == [high, low]
    assert [(await again.event()).event_id for _ in range(2)] == [high, low]


async def test_a_filter_leaves_out_what_was_not_asked_for(house: House, served: Serving) -> None:
    kept, other = await house.connect("shop-1"), await house.connect("shop-2")
    watcher, _ = await served.from_here(token_pb2.TokenFilter(connection_ids=[str(kept.id)]))
    await house.pool.fetchval(ADD, other.id, 2)
    wanted = await house.pool.fetchval(ADD, kept.id, 2)

    assert (await watcher.event()).event_id == wanted
    assert await watcher.is_silent()


@pytest.mark.parametrize(
    "chosen",
    [
        token_pb2.TokenFilter(provider=token_pb2.PROVIDER_TIKTOK_SHOP),
        token_pb2.TokenFilter(team_id=9),
        token_pb2.TokenFilter(connection_ids=["00000000-0000-0000-0000-000000000000"]),
    ],
)
async def test_what_a_filter_does_not_name_is_not_told(
    house: House, served: Serving, chosen: token_pb2.TokenFilter
) -> None:
    connection = await house.connect()
    watcher, _ = await served.from_here(chosen)
    await house.pool.fetchval(ADD, connection.id, 2)

    assert await watcher.is_silent()


async def test_a_filter_may_name_product_and_team(house: House, served: Serving) -> None:
    connection = await house.connect()
    chosen = token_pb2.TokenFilter(provider=token_pb2.PROVIDER_LOGIN_KIT, team_id=1)
    watcher, _ = await served.from_here(chosen)

    assert (await house.pool.fetchval(ADD, connection.id, 2)) == (await watcher.event()).event_id


async def test_events_are_found_without_an_announcement(
    house: House, served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_tokens, "POLL", 0.1)
    connection = await house.connect()
    watcher, _ = await served.from_here()

    added = await house.pool.fetchval(ADD, connection.id, 2)

    assert (await watcher.event()).event_id == added


async def test_a_long_past_is_told_page_by_page(house: House, served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_tokens, "PAGE", 2)
    connection = await house.connect()
    added = [await house.pool.fetchval(ADD, connection.id, generation) for generation in range(2, 9)]
    watcher = await served.after(0)

    assert (await watcher.event()).kind == token_pb2.TOKEN_EVENT_KIND_CONNECTED
    assert [(await watcher.event()).event_id for _ in added] == added


async def test_intents_and_failures_are_nobodys_news(house: House, served: Serving) -> None:
    connection = await house.connect()
    watcher, _ = await served.from_here()
    for kind in ("REFRESH_INTENT", "REFRESH_FAILED", "SUSPECT"):
        await house.pool.execute(
            "INSERT INTO connection_events (connection_id, kind, epoch, generation) VALUES ($1, $2, 1, 1)",
            connection.id,
            kind,
        )

    assert await watcher.is_silent()


async def test_a_position_that_is_not_kept_is_refused(served: Serving) -> None:
    with pytest.raises(InvalidField):
        await served.after(77)


async def test_a_stream_ends_when_the_service_stops(served: Serving) -> None:
    watcher, _ = await served.from_here()

    served.watch.close()

    with pytest.raises(UpstreamUnavailable):
        await watcher.next()


async def test_events_of_a_restored_dump_come_before_new_ones(house: House, served: Serving) -> None:
    connection = await house.connect()
    await house.pool.execute("UPDATE connection_events SET xid = '9000000000'")
    await PostgresEvents(house.pool).adopt()
    new = await house.pool.fetchval(ADD, connection.id, 2)

    watcher = await served.after(0)

    assert [(await watcher.event()).generation for _ in range(2)] == [1, 2]
    assert await house.pool.fetchval("SELECT max(id) FROM connection_events") == new
