import asyncio
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from libs.clock import SystemClock
from libs.errors import LockedOut, RateLimited
from services.gateway import limits
from services.gateway.addresses import address_of
from services.gateway.limits import Allowance, FailureLockouts, LockoutRule, MinuteBudget
from tests.gateway.served import ShiftedClock


def connection(host: str | None) -> HTTPConnection:
    client = (host, 1) if host is not None else None
    return HTTPConnection({"type": "http", "headers": [], "client": client})


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        (None, ""),
    ],
)
def test_an_address_is_counted_by_its_subscriber(host: str | None, counted: str) -> None:
    assert address_of(connection(host)) == counted


async def spent(budget: MinuteBudget, times: int) -> int:
    done = 0
    for _ in range(times):
        try:
            await budget.spend("a")
            done += 1
        except RateLimited:
            pass
    return done


async def test_a_budget_holds_in_any_sixty_seconds() -> None:
    clock = ShiftedClock()
    budget = MinuteBudget(clock=clock, per_minute=10)

    first = await spent(budget, 5)
    clock.shift = 40
    second = await spent(budget, 20)
    clock.shift = 61
    third = await spent(budget, 20)

    assert [first, second, third] == [5, 5, 5]


async def test_a_refusal_says_when_the_next_one_passes() -> None:
    clock = ShiftedClock()
    budget = MinuteBudget(clock=clock, per_minute=1)
    await budget.spend("a")
    clock.shift = 20

    with pytest.raises(RateLimited) as refused:
        await budget.spend("a")

    assert 39 < refused.value.retry_after <= 40


class MovingClock(SystemClock):
    """A clock that moves on by a step whenever it is read."""

    step = 0.0
    at = 1_000.0

    def monotonic(self) -> float:
        self.at += self.step
        return self.at


async def test_a_refusal_in_the_moment_the_budget_is_whole_again_asks_for_no_wait() -> None:
    clock = MovingClock()
    budget = MinuteBudget(clock=clock, per_minute=1)
    await budget.spend("a")
    clock.step = 30.0

    with pytest.raises(RateLimited) as refused:
        await budget.spend("a")

    assert refused.value.retry_after == 0


async def test_addresses_do_not_pay_for_each_other() -> None:
    budget = MinuteBudget(clock=ShiftedClock(), per_minute=1)

    await budget.spend("a")
    await budget.spend("b")


async def test_no_interleaving_lets_a_sixth_failure_through() -> None:
    lockouts = FailureLockouts(clock=ShiftedClock(), rule=LockoutRule(max_failures=5, block_seconds=900))

    results = await asyncio.gather(*(lockouts.count_failure("a") for _ in range(200)), return_exceptions=True)

    assert [result for result in results if isinstance(result, bool)] == [False] * 4 + [True]


async def test_no_interleaving_overspends_a_budget() -> None:
    budget = MinuteBudget(clock=ShiftedClock(), per_minute=7)

    results = await asyncio.gather(*(budget.spend("a") for _ in range(200)), return_exceptions=True)

    left = [result.remaining for result in results if isinstance(result, Allowance)]
    assert left == [6, 5, 4, 3, 2, 1, 0]


async def test_memory_is_bounded_and_blocks_outlive_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ADDRESSES", 10)
    rule = LockoutRule(max_failures=1, block_seconds=900)
    lockouts = FailureLockouts(clock=ShiftedClock(), rule=rule)
    await lockouts.count_failure("blocked")
    for number in range(9):
        await lockouts.count_failure(f"other{number}")

    with pytest.raises(LockedOut):
        await lockouts.check("blocked")
    remembered: Any = lockouts._blocked
    assert len(remembered) == 10
