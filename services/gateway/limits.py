"""How often an address may ask, and how often it may be wrong; counted in this process."""

import math
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from libs.clock import Clock
from libs.errors import LockedOut, RateLimited

WINDOW = 60.0  # seconds
MAX_ADDRESSES = 10_000  # remembered at once; the longest silent is forgotten first


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What an address may still spend, and the seconds until it may spend more."""

    limit: int
    remaining: int
    more_in: float

    @property
    def headers(self) -> dict[str, str]:
        """The allowance in the words of HTTP."""
        shown = {"Limit": self.limit, "Remaining": self.remaining, "Reset": max(1, math.ceil(self.more_in))}
        return {f"RateLimit-{name}": str(value) for name, value in shown.items()}


class BudgetSpent(RateLimited):
    """Too many requests: slow down."""

    def __init__(self, allowance: Allowance) -> None:
        super().__init__(retry_after=allowance.more_in)
        self.allowance = allowance


def locked_out(seconds: float, clock: Clock) -> LockedOut:
    """Return the error for an address that is blocked for so many seconds more."""
    until = clock.now() + timedelta(seconds=math.ceil(seconds))
    return LockedOut(
        f"Too many failed authentications: this address is blocked until {until:%Y-%m-%d %H:%M:%S} UTC,"
        " or until an operator starts the gateway with AUTH_UNLOCK",
        retry_after=seconds,
    )


class Budget(Protocol):
    """What an address may spend."""

    async def spend(self, address: str) -> Allowance:
        """Take one request from the address's budget and return what is left of it, or raise BudgetSpent."""
        ...


class Lockouts(Protocol):
    """Which addresses were wrong too often."""

    async def check(self, address: str) -> None:
        """Raise LockedOut while the address is blocked."""
        ...

    async def count_failure(self, address: str) -> bool:
        """Count one failed authentication, return whether it blocks the address; raise LockedOut for one too many."""
        ...


class Recollection:
    """Moments by address, bounded in number of addresses; each moment is forgotten after some seconds."""

    def __init__(self, *, clock: Clock, seconds: float) -> None:
        self.seconds = seconds
        self._clock = clock
        self._moments: OrderedDict[str, deque[float]] = OrderedDict()

    def recall(self, address: str) -> deque[float]:
        """Return the moments of an address that are not forgotten yet, oldest first."""
        moments = self._moments.get(address, deque())
        while moments and moments[0] <= self._clock.monotonic() - self.seconds:
            moments.popleft()
        return moments

    def note(self, address: str) -> None:
        """Remember this moment."""
        moments = self.recall(address)
        moments.append(self._clock.monotonic())
        self._moments[address] = moments
        self._moments.move_to_end(address)
        if len(self._moments) > MAX_ADDRESSES:
            self._moments.popitem(last=False)

    def forget(self, address: str) -> None:
        """Forget the moments of an address."""
        self._moments.pop(address, None)

    def forgotten_in(self, address: str) -> float:
        """Return the seconds until the oldest moment of an address is forgotten, none when there is no moment left."""
        moments = self.recall(address)
        return max(moments[0] + self.seconds - self._clock.monotonic(), 0.0) if moments else 0.0


class Waits:
    """How long addresses have to wait, bounded in number of addresses."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def start(self, address: str, seconds: float) -> None:
        """Let an address wait from now on."""
        self._until[address] = self._clock.monotonic() + seconds
        self._until.move_to_end(address)
        if len(self._until) > MAX_ADDRESSES:
            self._until.popitem(last=False)

    def left(self, address: str) -> float:
        """Return the seconds that an address still has to wait, 0 when it need not."""
        if address not in self._until:
            return 0.0
        left = self._until[address] - self._clock.monotonic()
        if left <= 0:
            del self._until[address]
        return max(0.0, left)


class MinuteBudget:
    """At most so many requests of an address in any 60 seconds."""

    def __init__(self, *, clock: Clock, per_minute: int) -> None:
        self._per_minute = per_minute
        self._spent = Recollection(clock=clock, seconds=WINDOW)

    async def spend(self, address: str) -> Allowance:
        """Take one request from the address's budget, or raise BudgetSpent; refused requests cost nothing."""
        if len(self._spent.recall(address)) >= self._per_minute:
            raise BudgetSpent(self._allowance(address))
        self.note(address)
        return self._allowance(address)

    def note(self, address: str) -> None:
        """Remember a request that somebody else granted."""
        self._spent.note(address)

    def _allowance(self, address: str) -> Allowance:
        left = self._per_minute - len(self._spent.recall(address))
        return Allowance(limit=self._per_minute, remaining=left, more_in=self._spent.forgotten_in(address))


@dataclass(frozen=True, kw_only=True)
class LockoutRule:
    """How many failures within block_seconds block an address for block_seconds."""

    max_failures: int
    block_seconds: float


class FailureLockouts:
    """Blocks an address whose authentication failed too often; a right key forgives nothing."""

    def __init__(self, *, clock: Clock, rule: LockoutRule) -> None:
        self._rule = rule
        self._clock = clock
        self._failures = Recollection(clock=clock, seconds=rule.block_seconds)
        self._blocked = Waits(clock)

    async def check(self, address: str) -> None:
        """Raise LockedOut while the address is blocked."""
        if left := self._blocked.left(address):
            raise locked_out(left, self._clock)

    async def count_failure(self, address: str) -> bool:
        """Count one failed authentication, return whether it blocks the address; raise LockedOut for one too many."""
        await self.check(address)
        self._failures.note(address)
        return self.block_after(self._rule.max_failures, address)

    def block_after(self, failures: int, address: str) -> bool:
        """Block the address if it failed so often, and return whether it did."""
        blocks = len(self._failures.recall(address)) >= failures
        if blocks:
            self._failures.forget(address)
            self._blocked.start(address, self._rule.block_seconds)
        return blocks
