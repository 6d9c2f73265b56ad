"""A connection read lately is served without the database, but never when it may have changed."""

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import patch
from uuid import uuid4

import pytest

from libs.clock import SystemClock
from libs.database.notify import NotificationListener
from libs.errors import ReauthRequired
from services.token.adapters.timeline import CHANNEL
from services.token.core import cache as read_cache
from services.token.core.cache import TRUSTED, ReadCache
from services.token.core.connections import Held
from services.token.domain.connection import ById, Reference
from tests.token.conftest import MINUTE, House, Replica, other_than, store
from tests.token.counting_provider import QuickClock


class Silence:
    """A channel that was last heard at a time."""

    def __init__(self, last_alive: float) -> None:
        self.last_alive = last_alive


class SetClock(QuickClock):
    moment = 100.0

    def monotonic(self) -> float:
        return self.moment


@pytest.fixture
async def listening(house: House, token_dsn: str) -> AsyncIterator[Replica]:
    replica = house.replica()
    listener = NotificationListener(
        token_dsn,
        handlers={CHANNEL: replica.cache.changed},
        on_gap=replica.cache.clear,
        clock=SystemClock(),
    )
    replica.cache.listen_to(listener)
    async with listener:
        await listener.connected()
        yield replica


async def reads(replica: Replica, times: int) -> int:
    """Ask so often, and return how many of the answers came from the database."""
    found = replica.connections.find
    count = 0

    async def counting(reference: Reference) -> Held | None:
        nonlocal count
        count += 1
        return await found(reference)

    with patch.object(replica.connections, "find", counting):
        for _ in range(times):
            await replica.tokens.get_valid(store("shop-1"), MINUTE)
    return count


async def test_a_token_read_once_is_served_without_the_database(house: House, listening: Replica) -> None:
    await house.connect()
    await asyncio.sleep(0.1)

    assert await reads(listening, 10) == 1


async def test_a_refresh_elsewhere_is_seen(house: House, listening: Replica) -> None:
    await house.connect()
    await listening.tokens.get_valid(store("shop-1"), MINUTE)
    elsewhere = await house.replica("elsewhere").tokens.refresh(store("shop-1"), "r1")
    await asyncio.sleep(0.2)

    valid = await listening.tokens.get_valid(store("shop-1"), MINUTE)

    assert valid.connection.version == elsewhere.version


async def test_a_connection_lost_elsewhere_is_not_served(house: House, listening: Replica) -> None:
    connection = await house.connect()
    await listening.tokens.get_valid(store("shop-1"), MINUTE)
    await house.provider.refresh(await house.stored_refresh_token(connection.id))
    with pytest.raises(ReauthRequired):
        await house.replica("elsewhere").tokens.get_valid(store("shop-1"), other_than(connection.version.generation))
    await asyncio.sleep(0.2)

    with pytest.raises(ReauthRequired):
        await listening.tokens.get_valid(store("shop-1"), MINUTE)


async def held(house: House, code: str = "shop-1") -> Held:
    found = await house.replica().connections.find(ById(id=(await house.connect(code)).id))
    assert found is not None
    return found


async def test_nothing_is_served_long_after_the_channel_fell_silent(house: House) -> None:
    clock, one = SetClock(), await held(house)
    cache = ReadCache(clock=clock)
    cache.listen_to(Silence(last_alive=100.0))
    cache.put(one, cache.begin())

    clock.moment += TRUSTED
    assert cache.get(store("shop-1")) == (one, TRUSTED)
    clock.moment += 0.1
    assert cache.get(store("shop-1")) is None


async def test_a_change_during_a_read_keeps_the_read_out(house: House) -> None:
    one = await held(house)
    cache = ReadCache(clock=SetClock())
    cache.listen_to(Silence(last_alive=100.0))
    begun = cache.begin()
    cache.changed(str(one.connection.id))
    cache.put(one, begun)

    assert cache.get(store("shop-1")) is None


async def test_a_gap_during_a_read_keeps_the_read_out(house: House) -> None:
    cache = ReadCache(clock=SetClock())
    cache.listen_to(Silence(last_alive=100.0))
    begun = cache.begin()
    cache.clear()
    cache.put(await held(house), begun)

    assert cache.get(store("shop-1")) is None


async def test_forgetting_an_old_change_does_not_let_in_a_read_from_before_a_gap(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_cache, "REMEMBERED", 1)
    clock, one = SetClock(), await held(house)
    cache = ReadCache(clock=clock)
    cache.listen_to(Silence(last_alive=101.0))
    cache.changed(str(uuid4()))
    clock.moment += 1
    begun = cache.begin()
    cache.clear()
    cache.changed(str(uuid4()))
    cache.put(one, begun)

    assert cache.get(store("shop-1")) is None


async def test_the_cache_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_cache, "MOST", 2)
    cache = ReadCache(clock=SetClock())
    cache.listen_to(Silence(last_alive=100.0))
    for number in range(3):
        cache.put(await held(house, f"shop-{number}"), cache.begin())

    assert [cache.get(store(f"shop-{number}")) is not None for number in range(3)] == [False, True, True]
