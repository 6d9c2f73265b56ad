"""Lets old rows of a trail go, and seals into the chain where the kept part begins, so that the rest still verifies."""

import uuid
from typing import Protocol

import structlog

from libs.audit.verification import Begin
from libs.rpc.actor import BACKGROUND
from libs.rpc.recording import PRUNED, Record, Trail

PORTION = 5_000  # rows a statement: tens of milliseconds
METHOD = "retention"

log = structlog.get_logger()


class OldRows(Protocol):
    """The rows of a chain, by age."""

    async def begin(self) -> Begin:
        """Return where the kept part begins."""
        ...

    async def first_since(self, days: int) -> Begin | None:
        """Return the first row of the last so many days, else the last row; None without any."""
        ...

    async def forget(self, most: int) -> int:
        """Delete up to so many rows from before the kept part; return how many."""
        ...


class Retention:
    """Keeps the rows of the last so many days, by whole days in UTC; 0 keeps everything."""

    def __init__(self, *, rows: OldRows, trail: Trail, days: int) -> None:
        self._rows = rows
        self._trail = trail
        self._days = days

    async def sweep(self) -> None:
        """Seal where the kept part begins when that has changed, then delete what is before it."""
        first = await self._rows.first_since(self._days) if self._days else None
        if first and first.sequence > (await self._rows.begin()).sequence:
            await self._trail.append(told(first))
        forgotten = 0
        while deleted := await self._rows.forget(PORTION):
            forgotten += deleted
        if forgotten:
            log.info("Recorded calls out of retention were deleted", rows=forgotten)


def told(first: Begin) -> Record:
    """Return the record of where the kept part begins."""
    return Record(
        call=uuid.uuid4(),
        actor=BACKGROUND,
        method=METHOD,
        request={"keptFrom": first.sequence, "previous": first.previous.hex()},
        request_id="",
        outcome=PRUNED,
    )
