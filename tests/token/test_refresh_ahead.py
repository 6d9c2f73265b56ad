"""Tokens are refreshed before anybody needs them, by few at a time, and spread over time."""

import asyncio
from datetime import timedelta

import pytest

from libs.errors import ReauthRequired, UpstreamUnavailable
from services.token.adapters.due import PostgresDue
from services.token.core.ahead import CANDIDATES, RefreshAhead
from services.token.core.breaker import FAILURES, FIRST_REST, TRIAL, Breaker
from services.token.core.provider import NotSent, Refused, Unavailable
from services.token.domain.connection import Provider
from tests.token.conftest import MINUTE, House, store
from tests.token.counting_provider import QuickClock

BUSY = Unavailable("HTTP 503", retry_after=1, limited=False)


def ahead(house: House, name: str = "replica-1", in_flight: int = 4) -> RefreshAhead:
    return RefreshAhead(
        rows=PostgresDue(house.pool),
        refresher=house.replica(name).refresher,
        clock=QuickClock(),
        in_flight=in_flight,
    )


async def until(house: House, refreshes: int) -> None:
    async with asyncio.timeout(10):
        while house.provider.refreshes < refreshes:
            house.provider.arrived.clear()
            await house.provider.arrived.wait()


async def test_every_due_connection_is_refreshed_once(house: House) -> None:
    for number in range(12):
        await house.leave(await house.connect(f"shop-{number}"), left=timedelta(minutes=20))

    async with ahead(house), ahead(house, "replica-2"):
        await until(house, 12)
        await asyncio.sleep(0.2)

    assert (house.provider.refreshes, house.provider.dead_presented) == (12, [])


async def test_a_token_in_its_first_half_is_left_alone(house: House) -> None:
    await house.leave(await house.connect(), left=timedelta(minutes=61))

    assert not await PostgresDue(house.pool).due(10, [Provider.LOGIN_KIT])


async def test_the_time_of_a_refresh_is_spread_over_a_third_of_a_life(house: House) -> None:
    for number in range(30):
        await house.connect(f"shop-{number}")

    shares = await house.pool.fetch("""
        SELECT extract(epoch FROM refresh_after - received_at) / extract(epoch FROM access_expires_at - received_at)
        FROM connections
    """)
    found = sorted(float(row[0]) for row in shares)
    assert (found[0] >= 0.5, found[-1] <= 0.8, found[-1] - found[0] > 0.15) == (True, True, True)


async def test_no_more_than_a_few_are_in_flight(house: House) -> None:
    for number in range(10):
        await house.expire(await house.connect(f"shop-{number}"))
    house.provider.gate.clear()

    async with ahead(house, in_flight=3):
        await house.provider.arrived.wait()
        await asyncio.sleep(0.2)
        seen = house.provider.refreshes
        house.provider.gate.set()
        await until(house, 10)

    assert seen == 3


@pytest.mark.parametrize("name", ["connections", "connection_events"])
async def test_a_restore_in_the_middle_does_not_end_it(house: House, name: str) -> None:
    await house.leave(await house.connect(), left=timedelta(minutes=20))
    await house.pool.execute(f"ALTER TABLE {name} RENAME TO away")

    async with ahead(house):
        await asyncio.sleep(0.2)
        await house.pool.execute(f"ALTER TABLE away RENAME TO {name}")
        await until(house, 1)


@pytest.mark.parametrize("stuck", ["provider = 'tiktok_shop'", "failures = 3"], ids=["no app", "failing"])
async def test_connections_that_cannot_be_refreshed_hold_up_no_others(house: House, stuck: str) -> None:
    for number in range(CANDIDATES + 1):
        await house.leave(await house.connect(f"stuck-{number}"), left=timedelta(hours=-2))
    await house.pool.execute(f"UPDATE connections SET {stuck}")
    await house.leave(await house.connect(), left=timedelta(minutes=20))

    due = PostgresDue(house.pool)
    found = await due.due(CANDIDATES, [Provider.LOGIN_KIT])

    assert "shop-1" in [connection.owner.id for connection in found]


async def test_a_provider_that_rests_is_left_out_until_its_trial(house: House) -> None:
    clock = SetClock()
    house.breaker = Breaker(clock)
    refresher = house.replica().refresher
    seen = [list(refresher.reachable)]
    for _ in range(FAILURES):
        house.breaker.failed(Provider.LOGIN_KIT)
    seen.append(list(refresher.reachable))
    clock.moment += FIRST_REST
    seen.append(list(refresher.reachable))

    assert seen == [[Provider.LOGIN_KIT], [], [Provider.LOGIN_KIT]]


async def test_an_outage_leaves_rows_alone_and_is_one_event(house: House) -> None:
    for number in range(FAILURES + 10):
        await house.expire(await house.connect(f"shop-{number}"))
    house.provider.fail_before = [BUSY] * 100
    tokens = house.replica().tokens

    for number in range(FAILURES + 10):
        with pytest.raises(UpstreamUnavailable):
            await tokens.get_valid(store(f"shop-{number}"), MINUTE)

    assert len(house.provider.presented) == FAILURES
    assert await house.pool.fetchval("SELECT count(*) FROM connections WHERE failures > 0") == FAILURES
    assert await house.pool.fetchval("SELECT count(*) FROM connections WHERE status <> 'ACTIVE'") == 0


class SetClock(QuickClock):
    moment = 0.0

    def monotonic(self) -> float:
        return self.moment


def opened(clock: SetClock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        breaker.check(Provider.LOGIN_KIT)
        breaker.failed(Provider.LOGIN_KIT)
    return breaker


def test_one_trial_at_a_time_follows_a_rest() -> None:
    clock = SetClock()
    breaker = opened(clock)
    clock.moment = FIRST_REST + 1

    breaker.check(Provider.LOGIN_KIT)
    with pytest.raises(UpstreamUnavailable) as caught:
        breaker.check(Provider.LOGIN_KIT)

    assert caught.value.retry_after == TRIAL


def test_an_answer_ends_the_rest_and_a_failure_doubles_it() -> None:
    clock = SetClock()
    breaker = opened(clock)
    clock.moment = FIRST_REST + 1
    breaker.check(Provider.LOGIN_KIT)
    breaker.failed(Provider.LOGIN_KIT)
    with pytest.raises(UpstreamUnavailable) as caught:
        breaker.check(Provider.LOGIN_KIT)
    assert caught.value.retry_after == 2 * FIRST_REST

    breaker.answered(Provider.LOGIN_KIT)
    breaker.check(Provider.LOGIN_KIT)


def test_failures_that_were_under_way_do_not_lengthen_the_rest() -> None:
    breaker = opened(SetClock())
    for _ in range(20):
        breaker.failed(Provider.LOGIN_KIT)

    with pytest.raises(UpstreamUnavailable) as caught:
        breaker.check(Provider.LOGIN_KIT)

    assert caught.value.retry_after == FIRST_REST


async def test_a_refusal_is_an_answer(house: House) -> None:
    for number in range(FAILURES + 1):
        await house.expire(await house.connect(f"shop-{number}"))
    house.provider.fail_before = [NotSent("refused")] * (FAILURES - 1) + [Refused("invalid_grant")]
    tokens = house.replica().tokens
    for number in range(FAILURES):
        with pytest.raises((UpstreamUnavailable, ReauthRequired)):
            await tokens.get_valid(store(f"shop-{number}"), MINUTE)

    house.breaker.failed(Provider.LOGIN_KIT)
    house.breaker.check(Provider.LOGIN_KIT)
