"""How stores stand, read once for all who ask within a short time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from libs.clock import Clock
from services.sync.domain.connections import Connection, Standing

BELIEVED = 15.0  # seconds; open pages of the console ask as often
BEST_LAST = (Standing.NEVER_CONNECTED, Standing.DISCONNECTED, Standing.NEEDS_RECONNECT, Standing.USABLE)


class StoreAccounts(Protocol):
    """The connected accounts of stores; UpstreamUnavailable."""

    def of_stores(self) -> AsyncIterator[tuple[Connection, ...]]:
        """Yield the connections of all stores, page by page."""
        ...


class Standings:
    """Reads all connections for one who asks; who asks meanwhile, or soon after the read began, shares the answer."""

    def __init__(self, *, accounts: StoreAccounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._began = 0.0
        self._reading: asyncio.Task[Mapping[str, Standing]] | None = None

    async def get(self) -> Mapping[str, Standing]:
        """Return how each store stands that was ever connected; of several connections the best one counts."""
        if self._reading is None or self._is_spent(self._reading):
            self._began = self._clock.monotonic()
            self._reading = asyncio.create_task(self._read(), name="standings")
        return await asyncio.shield(self._reading)

    def _is_spent(self, reading: "asyncio.Task[Mapping[str, Standing]]") -> bool:
        if not reading.done():
            return False
        is_old = self._clock.monotonic() - self._began >= BELIEVED
        return is_old or reading.cancelled() or reading.exception() is not None

    async def _read(self) -> Mapping[str, Standing]:
        found = [connection async for page in self._accounts.of_stores() for connection in page]
        found.sort(key=lambda connection: BEST_LAST.index(connection.standing))
        return {connection.subject.id: connection.standing for connection in found}
