"""Limits and lockouts that hold over all replicas; while their rows cannot be had, those of this process hold.

Requests of one address that come while its row is asked for are asked for together the next time, so that a flood is
one statement at a time. What the rows refuse is remembered until they could grant it again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from libs.clock import Clock
from libs.errors import StorageUnavailable
from services.gateway.limits import (
    WINDOW,
    Allowance,
    BudgetSpent,
    FailureLockouts,
    LockoutRule,
    MinuteBudget,
    Waits,
    locked_out,
)


@dataclass(frozen=True, kw_only=True)
class SharedRule:
    """A budget by its name: so many requests of an address in any window."""

    name: str
    most: int
    seconds: float = WINDOW


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a number of requests that were asked for together; times in seconds."""

    granted: int
    remaining: int
    more_in: float
    blocked_for: float | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What became of a failure: it may block its address; blocked_for is in seconds when that was blocked already."""

    blocked_for: float | None
    blocks: bool


class FailureRows(Protocol):
    """Where failures of all replicas are counted."""

    async def count_failure(self, address: str, rule: LockoutRule) -> Failure:
        """Count one unless the address is blocked already; StorageUnavailable."""
        ...


# Takes what is free of so many requests of an address; StorageUnavailable.
Take: TypeAlias = Callable[[SharedRule, str, int], Awaitable[Verdict]]
Outcome: TypeAlias = Allowance | Exception
Turn: TypeAlias = asyncio.Future[Outcome]


class SharedBudget:
    """At most so many requests of an address in any window, over all replicas."""

    def __init__(self, *, rule: SharedRule, take: Take, local: MinuteBudget, clock: Clock) -> None:
        self._rule = rule
        self._take = take
        self._local = local
        self._clock = clock
        self._spent = Waits(clock)
        self._blocked = Waits(clock)
        self._turns: dict[str, list[Turn]] = {}
        self._serving: dict[str, asyncio.Task[None]] = {}

    async def spend(self, address: str) -> Allowance:
        """Take one request from the address's budget; raise BudgetSpent, or LockedOut if rows told so."""
        self._refuse_as_before(address)
        turn: Turn = asyncio.get_running_loop().create_future()
        self._turns.setdefault(address, []).append(turn)
        if address not in self._serving:
            self._serving[address] = asyncio.create_task(self._serve(address))
        outcome = await turn
        if isinstance(outcome, StorageUnavailable):
            return await self._local.spend(address)
        if isinstance(outcome, Exception):
            raise outcome
        self._local.note(address)
        return outcome

    def _refuse_as_before(self, address: str) -> None:
        if blocked_for := self._blocked.left(address):
            raise locked_out(blocked_for, self._clock)
        if more_in := self._spent.left(address):
            raise BudgetSpent(Allowance(limit=self._rule.most, remaining=0, more_in=more_in))

    async def _serve(self, address: str) -> None:
        try:
            while turns := self._turns.pop(address, None):
                outcomes = await self._outcomes(address, len(turns))
                for turn, outcome in zip(turns, outcomes, strict=True):
                    if not turn.done():
                        turn.set_result(outcome)
        finally:
            del self._serving[address]

    async def _outcomes(self, address: str, wanted: int) -> Sequence[Outcome]:
        try:
            verdict = await self._take(self._rule, address, wanted)
        except Exception as error:  # noqa: BLE001 - it is raised where the turns are waited for
            return [error] * wanted
        self._remember(address, verdict, wanted)
        return [self._outcome(verdict, place) for place in range(wanted)]

    def _remember(self, address: str, verdict: Verdict, wanted: int) -> None:
        if verdict.blocked_for is not None:
            self._blocked.start(address, verdict.blocked_for)
        elif verdict.granted < wanted:
            self._spent.start(address, verdict.more_in)

    def _outcome(self, verdict: Verdict, place: int) -> Outcome:
        if verdict.blocked_for is not None:
            return locked_out(verdict.blocked_for, self._clock)
        left = max(0, verdict.remaining + verdict.granted - place - 1)
        allowance = Allowance(limit=self._rule.most, remaining=left, more_in=verdict.more_in)
        return allowance if place < verdict.granted else BudgetSpent(allowance)


class SharedLockouts:
    """Blocks an address everywhere that was wrong too often, wherever it was.

    While the rows cannot be had, this process allows share failures: as many as it is one of several.
    """

    def __init__(
        self, *, rule: LockoutRule, rows: FailureRows, local: FailureLockouts, share: int, clock: Clock
    ) -> None:
        self._rule = rule
        self._rows = rows
        self._local = local
        self._share = share
        self._clock = clock

    async def check(self, address: str) -> None:
        """Raise LockedOut if this process knows so; the rows tell together with the budget."""
        await self._local.check(address)

    async def count_failure(self, address: str) -> bool:
        """Count one failed authentication, kept before this returns; raise LockedOut when it is one too many."""
        blocks_here = await self._local.count_failure(address)
        try:
            failure = await self._rows.count_failure(address, self._rule)
        except StorageUnavailable:
            return self._local.block_after(self._share, address) or blocks_here
        if failure.blocked_for is not None:
            raise locked_out(failure.blocked_for, self._clock)
        return failure.blocks
