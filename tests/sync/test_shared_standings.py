"""All connections are read once for everybody who asks how stores stand within a short time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.clock import SystemClock
from libs.errors import UpstreamUnavailable
from services.sync.core.standings import BELIEVED, Standings
from services.sync.domain.connections import Connection, Standing
from services.sync.domain.subjects import Subject


class Hands(SystemClock):
    """A clock that the test sets."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at


class Accounts:
    """One store; every read of it is counted."""

    standing, reads, is_away = Standing.USABLE, 0, False

    async def of_stores(self) -> AsyncIterator[tuple[Connection, ...]]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise UpstreamUnavailable
        yield (Connection(Subject.store("a"), self.standing),)


async def test_those_who_ask_together_share_one_read() -> None:
    accounts = Accounts()
    standings = Standings(accounts=accounts, clock=Hands())

    told = await asyncio.gather(*(standings.get() for _ in range(5)))

    assert (told, accounts.reads) == ([{"a": Standing.USABLE}] * 5, 1)


async def test_what_was_read_is_told_for_a_short_time() -> None:
    accounts, clock = Accounts(), Hands()
    standings = Standings(accounts=accounts, clock=clock)
    await standings.get()
    accounts.standing, told = Standing.DISCONNECTED, []
    for clock.at in (BELIEVED - 1, BELIEVED):
        told.append((await standings.get())["a"])

    assert told == [Standing.USABLE, Standing.DISCONNECTED]


async def test_a_read_that_failed_is_made_again() -> None:
    accounts = Accounts()
    standings = Standings(accounts=accounts, clock=Hands())
    accounts.is_away = True
    with pytest.raises(UpstreamUnavailable):
        await standings.get()
    accounts.is_away = False

    assert await standings.get() == {"a": Standing.USABLE}
