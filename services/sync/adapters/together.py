"""Calls that come shortly after one another leave together: many small round trips become few."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from libs.database.errors import sqlstate_of
from libs.errors import TokhubError
from services.sync.adapters.pace import Pace

# SQLSTATEs of PL/pgSQL.
RAISED_BY_A_TRIGGER = "P0"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Together(Generic[Item, Result]):
    """Carries items in batches, one batch at a time; carry returns an outcome or an exception for each, in their order.

    Batches keep a pace: what comes alone waits for nobody, and neither does a batch that is full.
    A batch that fails for a reason nobody foresaw, or by a trigger's doing, is carried again item by item, so that none
    fails for its neighbours: what carries must leave nothing behind when it fails.
    """

    def __init__(
        self,
        carry: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        most: int,
        pace: Pace | None = None,
    ) -> None:
        self._carry = carry
        self._most = most
        self._pace = pace or Pace()
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    async def call(self, item: Item) -> Result:
        """Return what became of the item, or raise it."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await result

    async def _run(self) -> None:
        while self._waiting:
            if len(self._waiting) < self._most:
                await self._pace.turn()
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            await self._settle(batch)

    async def _settle(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            outcomes = await self._carry([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is raised where the outcomes are waited for
            if len(batch) > 1 and may_be_of_one(error):
                for waiting in batch:
                    await self._settle([waiting])
                return
            outcomes = [error] * len(batch)
        for (_, result), outcome in zip(batch, outcomes, strict=True):
            settle(result, outcome)


def settle(result: asyncio.Future[Result], outcome: Result | Exception) -> None:
    """Tell who waits, if somebody still does."""
    if result.done():
        return
    if isinstance(outcome, Exception):
        result.set_exception(outcome)
    else:
        result.set_result(outcome)


def may_be_of_one(error: Exception) -> bool:
    """Return whether the others might do without the one that failed; a trigger refuses rows, not the database."""
    return not isinstance(error, TokhubError) or sqlstate_of(error).startswith(RAISED_BY_A_TRIGGER)
