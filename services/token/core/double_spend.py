"""Notices that a refresh token was spent by somebody who should not have spent it, and has people told.

Only what is at hand anyway is looked at: the lease, TikTok's refusal, and the row once it turned out to have moved on.
While nothing is wrong, no question is asked of anybody.
"""

from datetime import timedelta
from typing import Protocol
from uuid import UUID

from libs.errors import StorageUnavailable
from libs.vault.ring import CannotOpen
from services.token.core.connections import Held, Lease
from services.token.core.journal import Inheritance
from services.token.core.provider import Lost, Refused
from services.token.core.vault import Vault
from services.token.domain.connection import UNTOLD, ById, Reference, Version
from services.token.domain.grant import Grant
from services.token.domain.timeline import DoubleSpend

# Leases that may present one token without learning what came of it: the first, and one more that finds out.
ALLOWED = 2


class AlarmPort(Protocol):
    """Whom a double spend is told to."""

    async def sound(self, what: DoubleSpend, connection_id: UUID, version: Version) -> None:
        """Tell people; never raises."""
        ...


class FindPort(Protocol):
    """Rows of connections."""

    async def find(self, reference: Reference) -> Held | None:
        """Return a connection; raise StorageUnavailable."""
        ...


class DoubleSpendWatch:
    """Looks at what refreshes leave behind; what it cannot find out it leaves alone."""

    def __init__(self, *, rows: FindPort, vault: Vault, alarm: AlarmPort) -> None:
        self._rows = rows
        self._vault = vault
        self._alarm = alarm

    async def leased(self, lease: Lease) -> None:
        """Look at a lease before its token is presented; of one token this is told once."""
        if lease.unanswered == ALLOWED:
            await self._alarm.sound(DoubleSpend.PRESENTED_TOO_OFTEN, lease.id, lease.version)

    async def refused(self, lease: Lease, refusal: Refused) -> None:
        """Look at a refusal of the token that the row still holds."""
        if not isinstance(refusal, Lost) and not expected(lease):
            await self._alarm.sound(DoubleSpend.REFUSED_WHILE_CURRENT, lease.id, lease.version)

    async def refused_late(self, lease: Lease) -> None:
        """Look at a refusal of a token that the row does not hold any more; a connect or disconnect explains it."""
        row = await self._row(lease.id)
        if row and row.connection.version.epoch == lease.version.epoch:
            await self._alarm.sound(DoubleSpend.SUPERSEDED_PRESENTED, lease.id, lease.version)

    async def overtaken(self, lease: Lease, grant: Grant) -> None:
        """Look at an answer whose row has moved on before it was saved."""
        row = await self._row(lease.id)
        if row and self._contradicts(row, lease.version.refreshed(), grant):
            await self._alarm.sound(DoubleSpend.ANSWERS_DIFFER, lease.id, lease.version.refreshed())

    async def inherited(self, inheritance: Inheritance) -> None:
        """Look at what ended processes had journaled, once the rows have been brought up to it."""
        told = {(entry.connection_id, entry.version): entry for entry in inheritance.contradictory}
        for entry in inheritance.entries:
            row = await self._row(entry.connection_id)
            if row and entry.grant and self._contradicts(row, entry.version, entry.grant):
                told[(entry.connection_id, entry.version)] = entry
        for entry in told.values():
            await self._alarm.sound(DoubleSpend.ANSWERS_DIFFER, entry.connection_id, entry.version)

    async def _row(self, connection_id: UUID) -> Held | None:
        try:
            return await self._rows.find(ById(id=connection_id))
        except StorageUnavailable:
            return None

    def _contradicts(self, row: Held, version: Version, grant: Grant) -> bool:
        """Return whether the row holds another answer of this version: what is of another version does not open."""
        try:
            return self._vault.open_access(row.access, row.connection.id, version) != grant.access_token
        except CannotOpen:
            return False


def expected(lease: Lease) -> bool:
    """Return whether a refusal surprises nobody: the consent had run out, or the token came from an old list."""
    connection = lease.connection
    leased_at = connection.access_expires_at - timedelta(seconds=connection.seconds_left)
    ran_out = connection.refresh_expires_at is not None and connection.refresh_expires_at <= leased_at
    return ran_out or connection.account_id.startswith(UNTOLD)
