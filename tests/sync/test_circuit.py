import asyncio

import pytest

from libs.clock import SystemClock
from libs.errors import ScopeMissing, StorageUnavailable, UpstreamUnavailable
from services.sync.core.circuit import ALLOWANCE, FIRST_REST, Circuit

ENDPOINT = "video/list"


class HandClock(SystemClock):
    """Shows what a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Storm:
    """Calls through a circuit and counts those that are made."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.circuit = Circuit(self.clock)
        self.made = 0

    async def call(self, failure: Exception | None = None, endpoint: str = ENDPOINT) -> float | None:
        """Return None for a success, else after how many seconds to call again."""
        try:
            async with self.circuit.watch(endpoint):
                self.made += 1
                if failure:
                    raise failure
        except UpstreamUnavailable as error:
            return error.retry_after
        return None

    async def hang(self) -> None:
        async with self.circuit.watch(ENDPOINT):
            await asyncio.Event().wait()

    async def exhaust(self) -> None:
        for _ in range(int(ALLOWANCE)):
            await self.call(UpstreamUnavailable())


@pytest.fixture
def storm() -> Storm:
    return Storm()


async def test_an_endpoint_that_fails_is_left_alone(storm: Storm) -> None:
    await storm.exhaust()
    made = storm.made
    assert [await storm.call() for _ in range(300)] == [FIRST_REST] * 300
    assert storm.made == made


async def test_other_endpoints_go_on(storm: Storm) -> None:
    await storm.exhaust()
    assert await storm.call(endpoint="user/info") is None


async def test_after_a_rest_one_call_goes_ahead_alone(storm: Storm) -> None:
    await storm.exhaust()
    storm.clock.seconds += FIRST_REST
    made, answer = storm.made, asyncio.Event()

    async def trial() -> None:
        async with storm.circuit.watch(ENDPOINT):
            await answer.wait()

    ahead = asyncio.create_task(trial())
    await asyncio.sleep(0)
    others = [asyncio.create_task(storm.call()) for _ in range(5)]
    await asyncio.sleep(0.05)
    assert storm.made == made
    answer.set()
    await ahead
    assert await asyncio.gather(*others) == [None] * 5


async def test_a_trial_that_fails_doubles_the_rest(storm: Storm) -> None:
    await storm.exhaust()
    storm.clock.seconds += FIRST_REST
    await storm.call(UpstreamUnavailable())
    assert await storm.call() == 2 * FIRST_REST


async def test_a_trial_that_is_cancelled_lets_the_next_one_try(storm: Storm) -> None:
    await storm.exhaust()
    storm.clock.seconds += FIRST_REST
    trial = asyncio.create_task(storm.hang())
    await asyncio.sleep(0)
    trial.cancel()
    await asyncio.wait({trial})
    assert await storm.call() is None


async def test_an_outage_costs_a_call_a_rest(storm: Storm) -> None:
    for _ in range(60):
        for _ in range(300):
            await storm.call(UpstreamUnavailable())
        storm.clock.seconds += 1
    assert storm.made == ALLOWANCE + 2


async def test_one_failure_in_six_goes_on(storm: Storm) -> None:
    for number in range(600):
        await storm.call(UpstreamUnavailable() if number % 6 == 0 else None)
    assert storm.made == 600


async def test_more_failures_than_that_are_too_many(storm: Storm) -> None:
    for number in range(600):
        await storm.call(UpstreamUnavailable() if number % 2 == 0 else None)
    assert storm.made < 40


@pytest.mark.parametrize("failure", [ScopeMissing(), StorageUnavailable()])
async def test_what_says_nothing_of_tiktok_is_no_failure(storm: Storm, failure: Exception) -> None:
    for _ in range(50):
        with pytest.raises(type(failure)):
            await storm.call(failure)
    assert await storm.call() is None
