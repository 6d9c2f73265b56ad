"""Connections read lately, ciphertext only, served while it is known that nobody has changed them.

Other replicas announce each change. While the channel that carries the announcements lives, an entry that was not
dropped is current; once the channel is silent, an entry is served for two more seconds and then read again. Whenever
the channel is made anew everything is dropped, because announcements may have been missed.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.clock import Clock
from services.token.core.connections import Held
from services.token.domain.connection import ByOwner, Reference

MOST = 50_000  # entries, about a kilobyte each
TRUSTED = 2.0  # seconds after an entry was last known to be current
REMEMBERED = 10_000  # changes, to tell a read that began before one from a read that began after it


class Channel(Protocol):
    """What carries the announcements."""

    @property
    def last_alive(self) -> float:
        """Return the monotonic time at which the channel was last known to work."""
        ...


@dataclass(frozen=True)
class Seen:
    """A connection and the monotonic time before it was read."""

    held: Held
    at: float


class ReadCache:
    """Bounded; forgets what was asked for longest ago."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._channel: Channel | None = None
        self._seen: OrderedDict[UUID, Seen] = OrderedDict()
        self._owners: dict[ByOwner, UUID] = {}
        self._changes = 0
        self._changed: OrderedDict[UUID, int] = OrderedDict()
        self._forgotten = 0

    def listen_to(self, channel: Channel) -> None:
        """Trust entries while this channel lives; without one nothing is served."""
        self._channel = channel

    def get(self, reference: Reference) -> tuple[Held, float] | None:
        """Return a connection and how many seconds ago it was read, if that can be trusted."""
        connection_id = self._owners.get(reference) if isinstance(reference, ByOwner) else reference.id
        seen = self._seen.get(connection_id) if connection_id else None
        if seen is None or self._channel is None:
            return None
        now = self._clock.monotonic()
        if now - max(seen.at, self._channel.last_alive) > TRUSTED:
            return None
        return seen.held, now - seen.at

    def begin(self) -> tuple[float, int]:
        """Return what put needs to know of the moment before a read."""
        return self._clock.monotonic(), self._changes

    def put(self, held: Held, begun: tuple[float, int]) -> None:
        """Keep what was read, unless the connection changed since the read began."""
        at, changes = begun
        connection = held.connection
        if self._forgotten > changes or self._changed.get(connection.id, 0) > changes:
            return
        self._seen[connection.id] = Seen(held, at)
        self._seen.move_to_end(connection.id)
        self._owners[ByOwner(provider=connection.provider, owner=connection.owner)] = connection.id
        if len(self._seen) > MOST:
            self._drop(next(iter(self._seen)))

    def changed(self, connection_id: str) -> None:
        """Drop a connection that somebody has changed."""
        self._changes += 1
        identity = UUID(connection_id)
        self._changed[identity] = self._changes
        self._changed.move_to_end(identity)
        if len(self._changed) > REMEMBERED:
            _, self._forgotten = self._changed.popitem(last=False)
        self._drop(identity)

    def clear(self) -> None:
        """Drop everything, reads that have begun included."""
        self._changes += 1
        self._forgotten = self._changes
        self._seen.clear()
        self._owners.clear()

    def _drop(self, identity: UUID) -> None:
        seen = self._seen.pop(identity, None)
        if seen:
            connection = seen.held.connection
            self._owners.pop(ByOwner(provider=connection.provider, owner=connection.owner), None)
