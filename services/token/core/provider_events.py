"""Acts upon what providers tell of their own accord, once for each event."""

from collections.abc import Mapping
from typing import Protocol

import structlog

from libs.errors import Unauthenticated
from services.token.core.journal import Entry, JournalPort
from services.token.domain.connection import Connection, Provider, Status
from services.token.domain.provider_event import Effect, EventOutcome, ProviderEvent

log = structlog.get_logger()


class EventReader(Protocol):
    """Knows how one provider signs and words its events."""

    def read(self, body: bytes, signature: str) -> ProviderEvent:
        """Return the event; raise Unauthenticated unless the provider sent it, InvalidField when it has no sense."""
        ...


class ProviderEventsPort(Protocol):
    """Rows that events change."""

    async def apply(self, event: ProviderEvent) -> Effect:
        """Make the event's change, unless the event was seen before or is older than the connection it would change.

        Raises Unauthenticated for a signature of another time, StorageUnavailable.
        """
        ...


class ProviderEvents:
    """What the gateway hands in."""

    def __init__(
        self,
        *,
        readers: Mapping[Provider, EventReader],
        rows: ProviderEventsPort,
        journal: JournalPort,
    ) -> None:
        self._readers = readers
        self._rows = rows
        self._journal = journal

    async def handle(self, provider: Provider, body: bytes, signature: str) -> EventOutcome:
        """Verify an event and act upon it; raise Unauthenticated, InvalidField or StorageUnavailable."""
        reader = self._readers.get(provider)
        if reader is None:
            raise Unauthenticated(f"No app is set up for {provider}: what it sends cannot be verified.")
        event = reader.read(body, signature)
        effect = await self._rows.apply(event) if event.change else Effect(outcome=EventOutcome.IGNORED)
        changed = {"connection": str(effect.connection.id)} if effect.connection else {}
        log.info("provider event", provider=provider, name=event.name, outcome=effect.outcome, **changed)
        if effect.connection and effect.connection.status is Status.DISCONNECTED:
            await self._keep_ended(effect.connection)
        return effect.outcome

    async def _keep_ended(self, connection: Connection) -> None:
        """Let a database that goes back in time not bring the connection back to life.

        Unlike a disconnect of ours this needs no entry before its row: TikTok has ended the grant already, so that a
        connection which came back would be refused at its next refresh.
        """
        await self._journal.keep(Entry.of(connection, connection.version, None, connection.read_at))
