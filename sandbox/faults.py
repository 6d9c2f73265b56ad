"""Scripted misfortune: a list of faults, the first that fits a call is used up by it."""

import random
from dataclasses import dataclass, field
from itertools import count

from sandbox.fault_kinds import Endpoint, Fault


@dataclass(slots=True)
class _Pending:
    fault: Fault
    skip: int
    left: int | None
    struck: int = 0
    dice: random.Random = field(default_factory=random.Random)

    def strikes(self) -> bool:
        """Say whether a call it fits is hit, counting off those it lets pass."""
        if self.skip:
            self.skip -= 1
            return False
        return self.fault.probability >= 1 or self.dice.random() < self.fault.probability

    def strike(self) -> Fault:
        """Return the fault as it is this time, and count it."""
        self.struck += 1
        if self.left is not None:
            self.left -= 1
        return self.fault.turn(self.struck - 1)


class FaultScript:
    """The faults still to come, in order."""

    def __init__(self) -> None:
        self._pending: dict[int, _Pending] = {}
        self._numbers = count(1)

    def add(self, fault: Fault) -> int:
        """Append a fault and return its number."""
        number = next(self._numbers)
        self._pending[number] = _Pending(fault, fault.skip, fault.count, dice=random.Random(fault.seed))
        return number

    def remove(self, number: int) -> bool:
        """Take a fault out; False if it is not there any more."""
        return self._pending.pop(number, None) is not None

    def clear(self) -> None:
        """Take all faults out."""
        self._pending.clear()

    def pending(self) -> dict[int, Fault]:
        """Return the faults with what is left of their counts, by number."""
        return {
            number: pending.fault.model_copy(update={"count": pending.left, "skip": pending.skip})
            for number, pending in self._pending.items()
        }

    def take(self, endpoint: Endpoint, open_id: str | None) -> Fault | None:
        """Return the fault that hits this call, counting it down."""
        for number, pending in list(self._pending.items()):
            if not pending.fault.fits(endpoint, open_id) or not pending.strikes():
                continue
            fault = pending.strike()
            if pending.left == 0:
                del self._pending[number]
            return fault
        return None
