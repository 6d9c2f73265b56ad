"""Acts upon what providers tell of their own accord, once for each event."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from libs.errors import Unauthenticated
from services.token.core.journal import Entry, JournalPort
from services.token.domain.connection import Connection, Provider, Status
from services.token.domain.provider_event import Effect, EventOutcome, ProviderEvent

# No official tolerance: five minutes either way is usual.
TOLERANCE = timedelta(minutes=5)

log = structlog.get_logger()


class EventReader(Protocol):
    """Knows how one provider signs and words its events."""

    def read(self, body: bytes, signature: str) -> ProviderEvent:
        """Return the event; raise Unauthenticated unless the provider sent it, InvalidField when it has no sense."""
        ...


class ProviderEventsPort(Protocol):
    """Rows that events change. Methods raise StorageUnavailable when the database cannot be used."""

    async def now(self) -> datetime:
        """Return the time by the one clock that all replicas share."""
        ...

    async def apply(self, event: ProviderEvent) -> Effect:
        """Make the event's change, unless the event was seen before or is older than the connection it would change."""
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
        if event.signed_at:
            require_recent(event.signed_at, await self._rows.now())
        effect = await self._rows.apply(event) if event.change else Effect(outcome=EventOutcome.IGNORED)
        changed = {"connection": str(effect.connection.id)} if effect.connection else {}
        log.info("provider event", provider=provider, name=event.name, outcome=effect.outcome, **changed)
        if effect.connection and effect.connection.status is Status.DISCONNECTED:
            await self._keep_ended(effect.connection)
        return effect.outcome

    async def _keep_ended(self, connection: Connection) -> None:
        """Let a database that goes back in time not bring the connection back to life."""
        await self._journal.keep(Entry.of(connection, connection.version, None, connection.read_at))


def require_recent(signed_at: datetime, now: datetime) -> None:
    """Raise Unauthenticated for a signature of another time; now is by the database's clock."""
    if abs(now - signed_at) > TOLERANCE:
        raise Unauthenticated(
            "The signature is more than five minutes away from the database's time: it is a replay, "
            "unless the clock is wrong."
        )
