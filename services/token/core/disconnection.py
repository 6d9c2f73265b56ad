"""Ends connections: the row at once and for good, the grant at TikTok as soon as TikTok can be asked.

A disconnect is journaled before its row is written. The other way round, a death in between and a database restored to
an older copy would bring the connection back to life. What is journaled is carried out: if its row cannot be written
now, by this process as soon as it can be; if this process dies, by the next one's replay. So nothing waits in a journal
to end, days later, a connection that has gone on living; and one that was connected again since has a later epoch.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import structlog

from libs.detached import DetachedTasks
from libs.errors import ConnectionNotFound, ServerMisconfig, StorageUnavailable
from libs.vault.ring import CannotOpen
from services.token.core.connections import ConnectionsPort
from services.token.core.journal import Entry, JournalPort, ReplayPort
from services.token.core.provider import AppRefused, Irrevocable, Outcome, Providers, Refused, Unknown, port_of
from services.token.core.vault import SealedTokens, Vault
from services.token.domain.connection import Connection, Provider, Reference, Status, Version

PATIENCE = 5.0  # seconds that a caller waits for TikTok; the work goes on behind it
AT_ONCE = 20

log = structlog.get_logger()


class Revocation(StrEnum):
    """What became of a grant at TikTok."""

    DONE = "done"
    PENDING = "pending"
    NOT_SUPPORTED = "not_supported"


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A grant that is to be ended, sealed for the version it had; seconds_left are of its access token."""

    number: int
    connection_id: UUID
    provider: Provider
    version: Version
    sealed: SealedTokens = field(repr=False)
    seconds_left: float


class RevocationsPort(Protocol):
    """Connections that end and grants to be ended. Methods raise StorageUnavailable."""

    async def disconnect(self, reference: Reference) -> tuple[Connection, bool] | None:
        """End a connection and queue its grant; return it, and whether it was live until now.

        The consent links that its owner has are ended too, also when there is no connection.
        """
        ...

    async def forget(self) -> Sequence[UUID]:
        """Drop what must not or need not be ended any more; return the connections whose time is up."""
        ...

    async def take(self, connection_id: UUID | None, most: int) -> Sequence[Pending]:
        """Return grants that are due, of one connection or of all; nobody else gets them for a while."""
        ...

    async def pending(self, connection_id: UUID) -> bool:
        """Return whether a grant of a connection is still to be ended."""
        ...

    async def reseal(self, number: int, version: Version, sealed: SealedTokens, seconds: int) -> None:
        """Store the tokens of a grant that had to be refreshed before it can be ended."""
        ...

    async def settle(self, number: int) -> None:
        """Delete a grant that has ended."""
        ...


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What disconnecting is made of."""

    connections: ConnectionsPort
    rows: RevocationsPort
    providers: Providers
    journal: JournalPort
    replay: ReplayPort
    vault: Vault


class Disconnection:
    """Disconnects, and revokes in the background what could not be revoked at once."""

    def __init__(self, parts: Parts) -> None:
        self._connections = parts.connections
        self._rows = parts.rows
        self._providers = parts.providers
        self._journal = parts.journal
        self._replay = parts.replay
        self._vault = parts.vault
        self._tasks = DetachedTasks()
        self._owed: dict[UUID, Entry] = {}

    async def disconnect(self, reference: Reference) -> tuple[Connection, Revocation]:
        """End a connection; whatever TikTok says or does not say, it stays ended. Raises ConnectionNotFound.

        A caller who leaves does not stop it half-way.
        """
        connection = await self._tasks.outcome(self._end(reference), "disconnect")
        return connection, await self._standing(connection)

    async def drain(self) -> None:
        """Wait until every disconnect that was begun has asked TikTok."""
        await self._tasks.drain()

    async def revoke_due(self) -> None:
        """End the grants that are due."""
        for connection_id in await self._rows.forget():
            log.error("a disconnected grant could not be ended at TikTok", connection=str(connection_id))
        for pending in await self._rows.take(None, AT_ONCE):
            await self._try(pending)

    async def carry_out_owed(self) -> None:
        """End the connections whose disconnect is journaled and could not be written."""
        for entry in list(self._owed.values()):
            if await self._replay.restore(entry):
                log.info("a disconnect that was owed is carried out", connection=str(entry.connection_id))
            # Meanwhile another may have come to be owed, of a later epoch.
            if self._owed[entry.connection_id] is entry:
                del self._owed[entry.connection_id]

    async def _end(self, reference: Reference) -> Connection:
        entry = await self._entry(reference)
        kept = entry is not None and await self._journal.keep(entry)
        try:
            ended = await self._rows.disconnect(reference)
        except StorageUnavailable as error:
            if entry is None:
                raise
            # Also if it is not kept: a disk that hangs may still write it.
            self._owed[entry.connection_id] = entry
            how = "is on record and" if kept else "is on no record, and while this process lasts it"
            raise StorageUnavailable(
                f"The database cannot be used now: the disconnect {how} follows as soon as it can be."
            ) from error
        if ended is None:
            raise ConnectionNotFound
        connection, was_live = ended
        if was_live:
            revoking = self._tasks.begin(
                self._finish(connection, entry if kept else None), f"disconnect {connection.id}"
            )
            await asyncio.wait({revoking}, timeout=PATIENCE)
        return connection

    async def _entry(self, reference: Reference) -> Entry | None:
        """Return the end of a live connection, None when there is none."""
        held = await self._connections.find(reference)
        if held is None or held.connection.status is Status.DISCONNECTED:
            return None
        return Entry.of(held.connection, held.connection.version.disconnected(), None, held.connection.read_at)

    async def _finish(self, connection: Connection, entry: Entry | None) -> None:
        if entry is None or entry.version != connection.version:
            await self._journal.keep(Entry.of(connection, connection.version, None, connection.read_at))
        try:
            for pending in await self._rows.take(connection.id, AT_ONCE):
                await self._try(pending)
        except StorageUnavailable:
            log.warning("a disconnected grant is ended later", connection=str(connection.id))

    async def _standing(self, connection: Connection) -> Revocation:
        if await self._rows.pending(connection.id):
            return Revocation.PENDING
        port = self._providers.get(connection.provider)
        return Revocation.DONE if port and port.revocable else Revocation.NOT_SUPPORTED

    async def _try(self, pending: Pending) -> None:
        """End one grant; one that TikTok no longer knows has ended, any other failure is tried again."""
        try:
            await self._revoke(pending)
        except (Irrevocable, CannotOpen) as why:
            log.warning("grant not ended", connection=str(pending.connection_id), why=type(why).__name__)
        except AppRefused as refusal:
            log.error("grant is ended later", connection=str(pending.connection_id), word=refusal.word)
            return
        except Refused as refusal:
            log.info("grant had ended before", connection=str(pending.connection_id), word=refusal.word)
        except (Outcome, ServerMisconfig) as outcome:
            log.warning("grant is ended later", connection=str(pending.connection_id), why=type(outcome).__name__)
            return
        await self._rows.settle(pending.number)

    async def _revoke(self, pending: Pending) -> None:
        """Revoke with an access token that works: TikTok ignores one that has expired."""
        port = port_of(self._providers, pending.provider)
        if pending.seconds_left > 0 or not port.revocable:
            token = self._vault.open_access(pending.sealed.access, pending.connection_id, pending.version)
        else:
            refresh = self._vault.open_refresh(pending.sealed.refresh, pending.connection_id, pending.version)
            grant = await port.refresh(refresh)
            version = pending.version.refreshed()
            sealed = self._vault.seal(grant, pending.connection_id, version)
            try:
                await self._rows.reseal(pending.number, version, sealed, grant.access_seconds)
            except StorageUnavailable:
                # The stored token is spent: what is not ended with the new one now is not ended by anybody later.
                log.error("a grant's new tokens could not be kept", connection=str(pending.connection_id))
            token = grant.access_token
            if not token.reveal():
                raise Unknown("the answer held no access token")
        await port.revoke(token)
