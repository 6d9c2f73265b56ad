import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from tokhub.token.v1 import token_pb2

from libs.client import Reference, Rejected, Token, TokenClient
from libs.clock import SystemClock
from libs.errors import NotAllowed, ReauthRequired, RefreshInProgress, StorageUnavailable, UpstreamUnavailable
from libs.rpc.access import Access
from libs.rpc.client import open_channel, open_pinned
from libs.rpc.policy import Policy
from libs.rpc.tls import Certificates
from libs.settings import WrongSetting
from tests.client.scripted_tokens import SERVICE, ScriptedTokens, serving
from tests.faults.proxy import Proxy
from tests.rpc.certified import HERE, ImpatientClock, Office, Remembered

STORE = Reference.of_store("store_0001")
SPEED = 4.0


class QuickClock(SystemClock):
    """Lets time pass faster for the client, which would otherwise settle for two seconds in each test."""

    def monotonic(self) -> float:
        return time.monotonic() * SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


class Asking:
    """A client and the token service that it asks."""

    def __init__(
        self,
        service: ScriptedTokens,
        port: int,
        *,
        deadline: float = 40.0,
        certificates: Certificates | None = None,
    ) -> None:
        self.service = service
        self.port = port
        target = f"127.0.0.1:{port}"
        watching = partial(open_pinned, target, certificates=certificates)
        channel = open_channel(target, certificates=certificates)
        self.tokens = TokenClient(channel, watching=watching, clock=QuickClock(), deadline=deadline)

    async def is_cached(self) -> bool:
        before = len(self.service.asked)
        await self.tokens.get(STORE)
        return len(self.service.asked) == before

    async def is_asked_again(self) -> bool:
        return not await self.is_cached()

    async def has_flapped(self) -> bool:
        return self.service.watchers >= 5

    async def is_new(self) -> bool:
        return (await self.tokens.get(STORE)).generation == 2

    async def until_cached(self) -> None:
        await until(self.is_cached)


class Ways:
    """One address before two replicas: connections go to the first, and after its freeze to the second."""

    def __init__(self, port: int) -> None:
        self._first, self._second = Proxy("127.0.0.1", port), Proxy("127.0.0.1", port)
        self._next = self._first
        self.port = 0

    def freeze_the_first(self) -> None:
        self._next = self._second
        self._first.black_hole()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._next.serve(reader, writer)

    def end(self) -> None:
        for way in (self._first, self._second):
            way.flow()
            way.reset()


@asynccontextmanager
async def two_ways(port: int) -> AsyncIterator[Ways]:
    ways = Ways(port)
    entrance = await asyncio.start_server(ways.serve, "127.0.0.1", 0)
    ways.port = entrance.sockets[0].getsockname()[1]
    try:
        yield ways
    finally:
        entrance.close()
        ways.end()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not become true")


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    service = ScriptedTokens()
    async with serving(service) as server:
        one = Asking(service, server.port)
        async with one.tokens:
            yield one


async def test_a_token_is_asked_for_once_and_then_known(asking: Asking) -> None:
    await asking.until_cached()
    assert (await asking.tokens.get(STORE)).access_token.reveal() == "CNRYtoken1"


@pytest.mark.parametrize(
    "kind",
    [
        token_pb2.TOKEN_EVENT_KIND_ROTATED,
        token_pb2.TOKEN_EVENT_KIND_NEEDS_RECONNECT,
        token_pb2.TOKEN_EVENT_KIND_DISCONNECTED,
        token_pb2.TOKEN_EVENT_KIND_CONNECTED,
    ],
)
async def test_a_token_is_asked_for_again_after_an_event(
    asking: Asking, kind: token_pb2.TokenEventKind.ValueType
) -> None:
    await asking.until_cached()
    asking.service.generation = 2
    asking.service.tell(kind)
    await until(asking.is_new)


async def test_a_stale_token_is_handed_out_and_not_kept(asking: Asking) -> None:
    await asking.until_cached()
    asking.service.life, asking.service.freshness = 30, token_pb2.FRESHNESS_STALE_BUT_VALID
    asking.service.tell(token_pb2.TOKEN_EVENT_KIND_NEEDS_RECONNECT)

    async def is_stale() -> bool:
        return not (await asking.tokens.get(STORE)).fresh

    await until(is_stale)
    await asyncio.sleep(3 / SPEED)
    assert not await asking.is_cached()


async def test_many_who_want_the_same_share_a_call(asking: Asking) -> None:
    asking.service.delay = 0.2
    tokens = await asyncio.gather(*(asking.tokens.get(STORE) for _ in range(50)))
    assert {token.generation for token in tokens} == {1}
    assert len(asking.service.asked) == 1


async def test_who_leaves_takes_the_call_from_nobody(asking: Asking) -> None:
    asking.service.delay = 0.3
    leaving, staying = (asyncio.create_task(asking.tokens.get(STORE)) for _ in range(2))
    await asyncio.sleep(0.1)
    leaving.cancel()
    assert (await staying).generation == 1
    assert len(asking.service.asked) == 1


async def test_a_refresh_in_progress_is_waited_for_as_told(asking: Asking) -> None:
    asking.service.failures.extend([RefreshInProgress(retry_after=2.0), StorageUnavailable(retry_after=0.1)])
    began = time.monotonic()
    assert (await asking.tokens.get(STORE)).generation == 1
    assert time.monotonic() - began >= 2.0 / SPEED
    assert len(asking.service.asked) == 3


async def test_the_last_error_is_raised_at_the_deadline() -> None:
    service = ScriptedTokens()
    service.failures.extend([UpstreamUnavailable(retry_after=5.0)] * 2)
    async with serving(service) as server:
        impatient = Asking(service, server.port, deadline=8.0)
        async with impatient.tokens:
            with pytest.raises(UpstreamUnavailable):
                await impatient.tokens.get(STORE)
    assert len(service.asked) == 2


@pytest.mark.parametrize("error", [ReauthRequired(), NotAllowed()])
async def test_what_waiting_does_not_mend_is_raised_at_once(asking: Asking, error: Exception) -> None:
    assert isinstance(error, ReauthRequired | NotAllowed)
    asking.service.failures.append(error)
    with pytest.raises(type(error)):
        await asking.tokens.get(STORE)
    assert len(asking.service.asked) == 1


async def test_a_rejected_token_is_replaced_and_tried_once(asking: Asking) -> None:
    tried: list[int] = []

    async def call(token: Token) -> int:
        tried.append(token.generation)
        if token.generation == 1:
            raise Rejected
        return token.generation

    await asking.until_cached()
    assert await asking.tokens.use(STORE, call) == 2
    assert tried == [1, 2]
    assert asking.service.asked[-1].rejected_generation == 1


async def test_a_second_rejection_is_the_callers(asking: Asking) -> None:
    tried: list[int] = []

    async def call(token: Token) -> int:
        tried.append(token.generation)
        raise Rejected

    with pytest.raises(Rejected):
        await asking.tokens.use(STORE, call)
    assert tried == [1, 2]


async def test_a_restart_of_the_service_is_waited_out() -> None:
    service = ScriptedTokens()
    async with serving(service) as server:
        one = Asking(service, server.port)
        await one.tokens.__aenter__()
        await one.until_cached()
    late = asyncio.create_task(one.tokens.get(Reference.of_store("store_0002")))
    await asyncio.sleep(0.3)
    service.generation = 2
    async with serving(service, port=one.port):
        assert (await late).generation == 2
        await one.until_cached()
        assert (await one.tokens.get(STORE)).generation == 2
        await one.tokens.__aexit__(None, None, None)


async def test_a_service_that_is_not_ready_is_not_trusted(asking: Asking) -> None:
    await asking.until_cached()
    asking.service.usable = False
    await until(asking.is_asked_again)


async def test_streams_that_end_at_once_begin_less_often(asking: Asking) -> None:
    await asking.until_cached()
    asking.service.watchers, asking.service.flapping = 0, True
    began = time.monotonic()
    asking.service.end_streams()
    await until(asking.has_flapped)
    assert time.monotonic() - began >= 2.0 / SPEED


async def test_a_frozen_replica_is_noticed_after_a_renewal(tmp_path: Path) -> None:
    """The new certificate leads to another replica, which answers and knows nothing of the stream."""
    office, service = Office(tmp_path / "office"), ScriptedTokens()
    own = office.files("svc/one")
    policy = Policy({SERVICE: dict.fromkeys(("GetValidToken", "WatchTokens"), frozenset({"svc/one"}))})
    access = Access(certificates=office.certificates("svc/token", *HERE), policy=policy, trail=Remembered())
    async with serving(service, access=access) as server, two_ways(server.port) as ways:
        one = Asking(service, ways.port, certificates=Certificates(own, ImpatientClock()))
        async with one.tokens:
            await one.until_cached()
            office.issue(own, "svc/one")
            ways.freeze_the_first()
            service.generation = 2
            await until(one.is_new)


async def test_a_client_closes_at_whatever_moment() -> None:
    service = ScriptedTokens()
    async with serving(service) as server:
        for steps in range(60):
            one = Asking(service, server.port)
            async with asyncio.timeout(10), one.tokens:
                await one.tokens.get(STORE)
                for _ in range(steps % 15):
                    await asyncio.sleep(0)


async def test_nothing_shows_a_token(asking: Asking, capsys: pytest.CaptureFixture[str]) -> None:
    await asking.until_cached()
    token = await asking.tokens.get(STORE)
    shown = f"{token!r} {token} {asking.tokens!r} {vars(asking.tokens)} {capsys.readouterr()}"
    assert token.authorization == "Bearer CNRYtoken1"
    assert "CNRY" not in shown


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(WrongSetting, match="TLS_KEY"):
        TokenClient.from_environment({"TLS_CA": str(Path(__file__))})
    with pytest.raises(WrongSetting, match="TOKEN_TARGET"):
        TokenClient.from_environment({"TOKEN_TARGET": "tokens.example:50051"})
