"""Connections read lately, ciphertext only, served while it is known that nobody has changed them.

Other replicas announce each change. While the channel that carries the announcements lives, an entry that was not
dropped is current; once the channel is silent, an entry is served for two more seconds and then read again. Whenever
the channel is made anew everything is dropped, because announcements may have been missed. What another replica read
and shares is taken by the same rule: if it was read after the channel was made and after the last change.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from libs.clock import Clock
from services.token.core.connections import Held
from services.token.domain.connection import ByOwner, Reference

MOST = 50_000  # entries, two to three kilobytes each
TRUSTED = 2.0  # seconds after an entry was last known to be current
REMEMBERED = 10_000  # changes, to tell a read that began before one from a read that began after it


class Channel(Protocol):
    """What carries the announcements."""

    @property
    def last_alive(self) -> float:
        """Return the monotonic time at which the channel was last known to work."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What other replicas know of a connection: as read after begun, a monotonic time here, if anybody has read it.

    moment is when they were asked, by the clock of what they share.
    """

    held: Held | None
    begun: float
    moment: int


class SharedReads(Protocol):
    """Where replicas share what they read; whatever is wrong with it, no method raises or takes long."""

    async def get(self, reference: Reference) -> Shared | None:
        """Return what is known of a connection; None when nobody can be asked."""
        ...

    async def put(self, held: Held, moment: int) -> None:
        """Share a connection that was read after a moment that get told."""
        ...

    def changed(self, connection_id: str) -> None:
        """Drop a connection that somebody has changed: soon, and perhaps not at all."""
        ...


@dataclass(frozen=True)
class Seen:
    """A connection and the monotonic time before it was read."""

    held: Held
    at: float


class ReadCache:
    """Bounded; forgets what was read longest ago.

    Its keys are the integers of UUIDs: to hash and compare those takes no Python.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._channel: Channel | None = None
        self._seen: OrderedDict[int, Seen] = OrderedDict()
        self._owners: dict[ByOwner, int] = {}
        self._changed: OrderedDict[int, float] = OrderedDict()
        self._forgotten = -math.inf

    def listen_to(self, channel: Channel) -> None:
        """Trust entries while this channel lives; without one nothing is served."""
        self._channel = channel

    def get(self, reference: Reference) -> tuple[Held, float] | None:
        """Return a connection and how many seconds ago it was read, if that can be trusted."""
        key = self._owners.get(reference) if isinstance(reference, ByOwner) else reference.id.int
        seen = self._seen.get(key) if key else None
        if seen is None or self._channel is None:
            return None
        now = self._clock.monotonic()
        if now - max(seen.at, self._channel.last_alive) > TRUSTED:
            return None
        return seen.held, now - seen.at

    def begin(self) -> float:
        """Return what put needs to know of the moment before a read."""
        return self._clock.monotonic()

    def put(self, held: Held, begun: float) -> None:
        """Keep what was read, unless the connection may have changed since the read began."""
        connection, key = held.connection, held.connection.id.int
        seen = self._seen.get(key)
        later = seen.at if seen else -math.inf
        if begun <= max(self._forgotten, self._changed.get(key, -math.inf)) or begun < later:
            return
        self._seen[key] = Seen(held, begun)
        self._seen.move_to_end(key)
        self._owners[ByOwner(provider=connection.provider, owner=connection.owner)] = key
        if len(self._seen) > MOST:
            self._drop(next(iter(self._seen)))

    def changed(self, connection_id: str) -> None:
        """Drop a connection that somebody has changed."""
        key = UUID(connection_id).int
        self._changed[key] = self._clock.monotonic()
        self._changed.move_to_end(key)
        if len(self._changed) > REMEMBERED:
            _, oldest = self._changed.popitem(last=False)
            self._forgotten = max(self._forgotten, oldest)
        self._drop(key)

    def clear(self) -> None:
        """Drop everything, reads that have begun included."""
        self._forgotten = self._clock.monotonic()
        self._seen.clear()
        self._owners.clear()

    def _drop(self, key: int) -> None:
        seen = self._seen.pop(key, None)
        if seen:
            connection = seen.held.connection
            self._owners.pop(ByOwner(provider=connection.provider, owner=connection.owner), None)
