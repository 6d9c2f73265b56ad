"""Brings every row under the active key while tokens are read and refreshed; whoever is cut off can be continued.

What is left to do stands in the rows themselves, so a rotation has no place to lose. Its stage, its counts and a lease
on the database's clock stand in a row of their own, by which other callers follow it and take over when it died.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import uuid4

import structlog

from libs.clock import Clock
from libs.vault.ring import CannotOpen
from services.token.core.connections import ConnectionsPort
from services.token.core.key_ring import REPORT_EVERY, KeyRingPort, RingMember, raise_if_waiting
from services.token.core.refresh import LEASE
from services.token.core.sealed_rows import Resealed, SealedRow, SealedRowsPort
from services.token.core.vault import Vault

BATCH = 100  # rows
# A replica may seal under the key before until its next report, and save that until its lease ends.
SETTLE = round(LEASE + 2 * REPORT_EVERY)  # seconds
PASS_AGAIN = 0.2  # seconds before rows are met again that could not be rewritten
FOLLOW_EVERY = 0.5  # seconds between looks at a rotation that another process runs

log = structlog.get_logger()


class Stage(StrEnum):
    """What a rotation is doing."""

    REWRITING = "REWRITING"
    SETTLING = "SETTLING"
    DONE = "DONE"


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """How a rotation stands; seconds is its age, and held whether its holder is alive, by the database's clock."""

    key_id: str
    stage: Stage
    total: int
    rewritten: int
    unreadable: int
    holder: str
    held: bool
    started_at: datetime
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """The pace so far."""
        return self.rewritten / self.seconds if self.seconds > 0 else 0.0


class Overtaken(Exception):
    """Another process has taken a rotation over, because its holder was thought dead."""


class RotationPort(Protocol):
    """The one rotation's row. Every method raises StorageUnavailable when the database cannot be used."""

    async def claim(self, key_id: str, total: int, holder: str) -> Rotation | None:
        """Begin a rotation, or continue an unfinished one to the same key; None while somebody holds it."""
        ...

    async def keep(self, rotation: Rotation) -> Rotation:
        """Store how it stands and hold it a little longer, at DONE let it go; raise Overtaken."""
        ...

    async def let_go(self, rotation: Rotation) -> None:
        """Leave it to whoever asks next."""
        ...

    async def look(self) -> Rotation:
        """Return the rotation that a claim found held."""
        ...


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What rotating is made of."""

    member: RingMember
    keys: KeyRingPort
    rows: SealedRowsPort
    connections: ConnectionsPort
    rotations: RotationPort
    vault: Vault
    clock: Clock


class KeyRotation:
    """Rotates every row to the active key, one rotation at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._member = parts.member
        self._keys = parts.keys
        self._rows = parts.rows
        self._rotations = parts.rotations
        self._vault = parts.vault
        self._clock = parts.clock

    async def rotate(self) -> AsyncIterator[Rotation]:
        """Yield how the rotation stands until it is DONE, whether it runs here or in another process.

        Raises KeyNotReady; ServerMisconfig when the active key has sealed too often.
        """
        await self._member.report()
        raise_if_waiting(await self._keys.standing())
        self._vault.require_room()
        holder = uuid4().hex
        stage = None
        while stage is not Stage.DONE:
            total = await self._rows.count_outside(self._vault.active_header)
            claimed = await self._rotations.claim(self._vault.active_key, total, holder)
            async for rotation in self._drive(claimed) if claimed else self._follow():
                stage = rotation.stage
                yield rotation

    async def _follow(self) -> AsyncIterator[Rotation]:
        while (rotation := await self._rotations.look()).held:
            yield rotation
            await self._clock.sleep(FOLLOW_EVERY)
        yield rotation

    async def _drive(self, claimed: Rotation) -> AsyncIterator[Rotation]:
        run = RotationRun(self._parts, claimed)
        try:
            yield run.rotation
            while run.rotation.stage is not Stage.DONE:
                await run.step()
                yield run.rotation
        except Overtaken:
            log.warning("rotation taken over by another process", key=run.rotation.key_id)
        finally:
            if run.rotation.stage is not Stage.DONE:
                await self._rotations.let_go(run.rotation)


class RotationRun:
    """A rotation in this process, a step at a time: rewrite pass by pass, settle, and look again.

    It is DONE when a look after settling finds nothing to rewrite.
    """

    def __init__(self, parts: Parts, claimed: Rotation) -> None:
        self.rotation = claimed
        self._rows = parts.rows
        self._connections = parts.connections
        self._rotations = parts.rotations
        self._vault = parts.vault
        self._clock = parts.clock
        self._to_settle = SETTLE
        self._begin_pass()

    async def step(self) -> None:
        """Do one batch, one second of settling, or one change of stage; raise Overtaken."""
        if self.rotation.stage is Stage.SETTLING:
            await self._settle()
        elif batch := await self._rows.page_outside(self._vault.active_header, self._after, BATCH):
            await self._rewrite(batch)
        else:
            await self._end_pass()

    def _begin_pass(self) -> None:
        self._after, self._missed, self._unreadable = 0, 0, 0

    async def _rewrite(self, batch: Sequence[SealedRow]) -> None:
        resealed = [one for row in batch if (one := await self._resealed(row))]
        swapped = await self._rows.swap(resealed)
        self._after = batch[-1].number
        self._missed += len(resealed) - swapped
        self._unreadable += len(batch) - len(resealed)
        if swapped:
            self._to_settle = SETTLE
        await self._keep(replace(self.rotation, rewritten=self.rotation.rewritten + swapped))

    async def _end_pass(self) -> None:
        """Go on to the next stage, or round again while somebody was faster: those rows are met again."""
        if self._missed:
            await self._clock.sleep(PASS_AGAIN)
            stage = Stage.REWRITING
        elif self._to_settle:
            stage = Stage.SETTLING
        else:
            stage = Stage.DONE
        await self._keep(replace(self.rotation, stage=stage, unreadable=self._unreadable))
        self._begin_pass()

    async def _settle(self) -> None:
        await self._clock.sleep(1.0)
        self._to_settle -= 1
        stage = Stage.SETTLING if self._to_settle else Stage.REWRITING
        await self._keep(replace(self.rotation, stage=stage))

    async def _keep(self, changed: Rotation) -> None:
        """Store how it stands, under the key that seals now, should another have become active meanwhile."""
        self.rotation = await self._rotations.keep(replace(changed, key_id=self._vault.active_key))

    async def _resealed(self, row: SealedRow) -> Resealed | None:
        try:
            return Resealed(row=row, tokens=self._vault.reseal(row.tokens, row.connection_id, row.version))
        except CannotOpen as error:
            lacked = self._vault.lacked_keys(row.tokens.access, row.tokens.refresh)
            if await self._connections.suspect(row.connection_id, row.version, lacked):
                log.error("stored token does not open", connection=str(row.connection_id), why=str(error))
            return None
