"""Tells any number of watchers what happens to connections: in order, without a gap, at each one's own pace.

Events get their ids before their transactions commit, so a row with a lower id may appear after one with a higher. The
rows are therefore read in the order of their transactions, and only those older than every transaction that is still
open: none of them can be preceded any more. Announcements only say when to look.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.errors import InvalidField, UpstreamUnavailable
from libs.waiting import wait_at_most
from services.token.domain.connection import Connection, Provider
from services.token.domain.timeline import Event, Kind

PAGE = 200  # events in memory for one watcher
POLL = 2.0  # seconds without an announcement after which the rows are read all the same
HELD_BACK = 0.05  # seconds until rows are read again that wait for an older transaction
TOLD = frozenset({Kind.CONNECTED, Kind.REFRESHED, Kind.REAUTH_REQUIRED, Kind.DISCONNECTED})


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place in the order of all events: a transaction and an event's id."""

    transaction: str
    id: int


@dataclass(frozen=True, kw_only=True)
class Happening:
    """An event, its position, and the connection as it is by now."""

    event: Event
    position: Position
    connection: Connection


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Events in order, and whether there are later ones that must wait for an older transaction."""

    happenings: Sequence[Happening]
    held_back: bool


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which events a watcher hears of; empty means all."""

    provider: Provider | None = None
    team_id: int | None = None
    connection_ids: frozenset[str] = frozenset()
    kinds: frozenset[Kind] = TOLD

    def takes(self, happening: Happening) -> bool:
        """Return whether an event is one of them."""
        connection = happening.connection
        return (
            happening.event.kind in self.kinds
            and self.provider in (None, connection.provider)
            and self.team_id in (None, connection.team_id)
            and (not self.connection_ids or str(connection.id) in self.connection_ids)
        )


class EventsPort(Protocol):
    """Rows of events in their order."""

    async def position(self, after: int | None) -> Position | None:
        """Return the position of an event, of the newest one without an id; None for one that is not kept."""
        ...

    async def read(self, position: Position, size: int) -> Reading:
        """Return up to size events behind a position, none of which can be preceded any more."""
        ...


class TokenWatch:
    """Streams of this process."""

    def __init__(self, rows: EventsPort) -> None:
        self._rows = rows
        self._closed = False
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Look at the rows: something may have happened."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """End every stream: the process stops."""
        self._closed = True
        self.wake()

    async def watch(self, chosen: Chosen, after: int | None) -> AsyncGenerator[Position | Happening, None]:
        """Yield where the stream begins, then events for ever; InvalidField for a position that is not kept."""
        position = await self._rows.position(after)
        if position is None:
            raise InvalidField(
                "after_event_id", "names an event that is not kept: read the connections anew and watch without it"
            )
        yield position
        while not self._closed:
            changed = self._changed
            reading = await self._rows.read(position, PAGE)
            for happening in reading.happenings:
                position = happening.position
                if chosen.takes(happening):
                    yield happening
            if not reading.happenings:
                await wait_at_most(changed, HELD_BACK if reading.held_back else POLL)
        raise UpstreamUnavailable("This service is stopping: watch again after the last event you have.")
