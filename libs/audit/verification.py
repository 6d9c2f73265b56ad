"""Walks a chain from its first row to its last, and names the first place where somebody has been at it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from libs.audit.chain import ChainKeys, Checkpoint, Row

PAGE = 500  # rows; some milliseconds of work
MOST = 2**63 - 1  # no id is greater: a walk begins behind all rows of the place before


class Kind(StrEnum):
    """What was done to a chain."""

    # The row says something else than what was sealed.
    EDITED = "EDITED"
    # The row is missing.
    DELETED = "DELETED"
    # The row was never sealed, or not there.
    INSERTED = "INSERTED"
    # The row belongs to another place.
    REORDERED = "REORDERED"
    # Rows at the end are missing, which a checkpoint tells.
    TRUNCATED = "TRUNCATED"
    # The row was sealed with a key that is not set.
    UNKNOWN_KEY = "UNKNOWN_KEY"


@dataclass(frozen=True)
class Break:
    """The first place that is not as it was written."""

    sequence: int
    kind: Kind


@dataclass(frozen=True)
class Begin:
    """Where the kept part of a chain begins, and what its first row follows."""

    sequence: int
    previous: bytes


@dataclass(frozen=True, kw_only=True)
class Loose:
    """Rows outside the chain: how many are older than it, and the place of the first that is not."""

    older: int
    place: int | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How many rows of how many have been looked at."""

    rows: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was found; checkpoint is the last row of a chain that is whole, None when it is broken or empty.

    unchained is how many rows are older than the chain, and so not protected by it.
    """

    rows: int
    first: int
    checkpoint: Checkpoint | None
    unchained: int
    broken: Break | None


class ChainedRows(Protocol):
    """The rows of a chain."""

    async def begin(self) -> Begin:
        """Return where the kept part begins."""
        ...

    async def tail(self) -> Checkpoint | None:
        """Return the last row, None without any."""
        ...

    async def page(self, after: tuple[int, int], limit: int) -> Sequence[Row]:
        """Return the rows behind a sequence and id, in that order."""
        ...

    async def mac_at(self, sequence: int) -> bytes | None:
        """Return the mac of a row, None without that row."""
        ...

    async def has(self, mac: bytes) -> bool:
        """Return whether a row has this mac."""
        ...

    async def continues(self, mac: bytes, but: int) -> bool:
        """Return whether a row, other than the one with this id, follows the one with this mac."""
        ...

    async def loose(self, begin: Begin) -> Loose:
        """Return what is outside the kept part of the chain."""
        ...


async def lost(rows: ChainedRows, checkpoint: Checkpoint) -> Break | None:
    """Return the break that a checkpoint tells of, None when the chain still holds its row or let it go in time."""
    if checkpoint.sequence < (await rows.begin()).sequence:
        return None
    mac = await rows.mac_at(checkpoint.sequence)
    if mac == checkpoint.mac:
        return None
    tail = await rows.tail()
    end = tail.sequence + 1 if tail else 1
    return Break(min(end, checkpoint.sequence), Kind.TRUNCATED)


@dataclass
class Walk:
    """How far a verification is: the place of the last row that fits, and what is wrong with the next."""

    last: Checkpoint
    id: int = MOST
    rows: int = 0
    broken: Break | None = None

    @property
    def next(self) -> int:
        """The sequence that comes next."""
        return self.last.sequence + 1

    def fits(self, row: Row) -> bool:
        """Return whether a row stands where it says."""
        return row.sequence == self.next and row.seal.previous == self.last.mac

    def go_on(self, row: Row) -> None:
        """Step onto a row."""
        self.last, self.id, self.rows = Checkpoint(row.sequence, row.seal.mac), row.id, self.rows + 1


class Verification:
    """Verifies one trail."""

    def __init__(self, *, rows: ChainedRows, keys: ChainKeys) -> None:
        self._rows = rows
        self._keys = keys

    async def verify(self, checkpoints: Sequence[Checkpoint] = ()) -> AsyncIterator[Progress | Verified]:
        """Yield how far it is, then what was found; the trail must still hold what the checkpoints tell of."""
        while True:
            begin = await self._rows.begin()
            walk = Walk(last=Checkpoint(begin.sequence - 1, begin.previous))
            async for progress in self._walk(walk, checkpoints):
                yield progress
            # Rows that became too old meanwhile were let go from under our feet.
            if walk.broken is None or await self._rows.begin() == begin:
                break
        yield await self._verified(begin, walk, checkpoints)

    async def _walk(self, walk: Walk, checkpoints: Sequence[Checkpoint]) -> AsyncIterator[Progress]:
        first, tail = walk.next, await self._rows.tail()
        while walk.broken is None and (page := await self._rows.page((walk.last.sequence, walk.id), PAGE)):
            for row in page:
                if not (walk.fits(row) and self._keys.made(row)):
                    walk.broken = await self._break_at(row, walk, checkpoints)
                    break
                walk.go_on(row)
            yield Progress(rows=walk.rows, total=max(tail.sequence - first + 1 if tail else 0, walk.rows))

    async def _break_at(self, row: Row, walk: Walk, checkpoints: Sequence[Checkpoint]) -> Break:
        if row.sequence != walk.next:
            return Break(min(row.sequence, walk.next), Kind.DELETED if row.sequence > walk.next else Kind.INSERTED)
        if self._keys.made(row):
            there = await self._rows.has(row.seal.previous)
            return Break(row.sequence, Kind.REORDERED if there else Kind.DELETED)
        if await self._rows.continues(walk.last.mac, but=row.id):
            return Break(row.sequence, Kind.INSERTED)
        if not self._keys.know(row):
            return Break(row.sequence, Kind.UNKNOWN_KEY)
        this, tail = Checkpoint(row.sequence, row.seal.mac), await self._rows.tail()
        # An edited row keeps the mac that the next row and checkpoints name; that of a last row may be made up.
        return Break(row.sequence, Kind.INSERTED if this == tail and this not in checkpoints else Kind.EDITED)

    async def _verified(self, begin: Begin, walk: Walk, checkpoints: Sequence[Checkpoint]) -> Verified:
        loose = await self._rows.loose(begin)
        found = [
            walk.broken,
            Break(loose.place, Kind.INSERTED) if loose.place else None,
            *[await lost(self._rows, checkpoint) for checkpoint in checkpoints],
        ]
        broken = min(filter(None, found), key=lambda one: one.sequence, default=None)
        return Verified(
            rows=walk.rows,
            first=begin.sequence,
            checkpoint=walk.last if walk.rows and broken is None else None,
            unchained=loose.older,
            broken=broken,
        )
