import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from libs.errors import StorageUnavailable
from services.sync.adapters.pace import Pace
from services.sync.adapters.together import Together


class Ferry:
    """Carries numbers, doubled; some make it sink, some are refused."""

    def __init__(self) -> None:
        self.carried: list[list[int]] = []
        self.sinks_with: dict[int, Exception] = {}
        self.calls: Together[int, int] = Together(self.carry, most=10)

    async def carry(self, numbers: Sequence[int]) -> list[int | Exception]:
        await asyncio.sleep(0.01)
        self.carried.append(list(numbers))
        for number in numbers:
            if number in self.sinks_with:
                raise self.sinks_with[number]
        return [ValueError("negative") if number < 0 else 2 * number for number in numbers]

    async def ask(self, *numbers: int) -> list[int | BaseException]:
        return list(await asyncio.gather(*(self.calls.call(number) for number in numbers), return_exceptions=True))


@pytest.fixture
def ferry() -> Ferry:
    return Ferry()


async def test_calls_that_come_together_leave_together(ferry: Ferry) -> None:
    assert await ferry.ask(*range(25)) == [2 * number for number in range(25)]
    assert [len(batch) for batch in ferry.carried] == [10, 10, 5]


async def test_a_call_alone_waits_for_no_company(ferry: Ferry) -> None:
    assert await ferry.calls.call(1) == 2
    assert await ferry.calls.call(2) == 4
    assert ferry.carried == [[1], [2]]


async def test_calls_that_follow_one_another_leave_together(ferry: Ferry) -> None:
    patient: Together[int, int] = Together(ferry.carry, most=10, pace=Pace(0.5))
    await patient.call(1)
    second = asyncio.create_task(patient.call(2))
    await asyncio.sleep(0.02)
    assert await patient.call(3) == 6
    assert await second == 4
    assert ferry.carried == [[1], [2, 3]]


async def test_a_full_batch_waits_for_no_more_company(ferry: Ferry) -> None:
    patient: Together[int, int] = Together(ferry.carry, most=10, pace=Pace(60))
    await patient.call(1)
    async with asyncio.timeout(5):
        await asyncio.gather(*(patient.call(number) for number in range(10)))
    assert ferry.carried == [[1], list(range(10))]


async def test_one_that_is_refused_leaves_its_neighbours_alone(ferry: Ferry) -> None:
    answers = await ferry.ask(1, -1, 2)
    assert (answers[0], answers[2]) == (2, 4)
    assert isinstance(answers[1], ValueError)


async def test_one_that_breaks_the_batch_fails_alone(ferry: Ferry) -> None:
    ferry.sinks_with[2] = OverflowError()
    answers = await ferry.ask(1, 2, 3)
    assert (answers[0], answers[2]) == (2, 6)
    assert isinstance(answers[1], OverflowError)


async def test_what_nobody_can_help_fails_all_at_once(ferry: Ferry) -> None:
    ferry.sinks_with[2] = StorageUnavailable()
    answers = await ferry.ask(1, 2, 3)
    assert all(isinstance(answer, StorageUnavailable) for answer in answers)
    assert len(ferry.carried) == 1


async def test_one_that_waits_no_more_disturbs_nobody(ferry: Ferry) -> None:
    gone = asyncio.create_task(ferry.calls.call(1))
    await asyncio.sleep(0)
    gone.cancel()
    assert await ferry.ask(2, 3) == [4, 6]


def refused_by_a_trigger() -> StorageUnavailable:
    error = StorageUnavailable()
    error.__cause__ = asyncpg.RaiseError()
    return error


async def test_a_trigger_refuses_one_and_not_its_neighbours(ferry: Ferry) -> None:
    ferry.sinks_with[2] = refused_by_a_trigger()
    answers = await ferry.ask(1, 2, 3)
    assert (answers[0], answers[2]) == (2, 6)
    assert isinstance(answers[1], StorageUnavailable)
