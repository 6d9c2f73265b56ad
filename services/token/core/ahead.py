"""Refreshes in the background, between half and four fifths of a token's life, so that callers never have to wait.

Every replica looks for connections that are due and takes some of them at random; the lease decides who gets one.
Few are in flight at once: what is in flight when a machine dies may be lost.
"""

import asyncio
import random
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import structlog

from libs.clock import Clock
from libs.errors import TokhubError
from libs.jitter import uniform
from services.token.core.connections import Held
from services.token.domain.connection import Connection, Need, Provider

LOOK_EVERY = 5.0  # seconds
CANDIDATES = 16  # looked at for each one that may be in flight, so that replicas seldom want the same

log = structlog.get_logger()


class DuePort(Protocol):
    """Rows, as far as refreshing ahead concerns them."""

    async def due(self, size: int, providers: Sequence[Provider]) -> Sequence[Connection]:
        """Return up to size connections of providers that are due and free to be refreshed, those longest due first.

        Those that have failed come last: however many they are, they hold up no others.
        """
        ...


class RefreshPort(Protocol):
    """What refreshes."""

    @property
    def reachable(self) -> Sequence[Provider]:
        """Return the providers that a refresh can be tried at."""
        ...

    async def refresh(self, connection: Connection, need: Need) -> Held:
        """Return the connection with the need met."""
        ...


class RefreshAhead:
    """Works while its context is open; in_flight is the most refreshes at once, none at 0."""

    def __init__(self, *, rows: DuePort, refresher: RefreshPort, clock: Clock, in_flight: int) -> None:
        self._rows = rows
        self._refresher = refresher
        self._clock = clock
        self._in_flight = in_flight

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="refresh ahead")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._in_flight:
            done = await self._look()
            if done < self._in_flight:
                await self._clock.sleep(LOOK_EVERY * uniform(0.5, 1.5))

    async def _look(self) -> int:
        """Refresh some of what is due; return how many."""
        try:
            due = list(await self._rows.due(self._in_flight * CANDIDATES, self._refresher.reachable))
        except TokhubError:
            return 0
        except Exception as error:
            log.error("connections that are due cannot be looked for", exc_info=error)
            return 0
        chosen = random.sample(due, min(self._in_flight, len(due)))
        succeeded = await asyncio.gather(*(self._refresh(connection) for connection in chosen))
        return sum(succeeded)

    async def _refresh(self, connection: Connection) -> bool:
        try:
            await self._refresher.refresh(connection, Need(min_ttl=0, spent_generation=connection.version.generation))
        except TokhubError as error:
            log.info("refresh ahead put off", connection=str(connection.id), reason=error.reason.value)
            return False
        except Exception as error:
            log.error("refresh ahead broke off", connection=str(connection.id), exc_info=error)
            return False
        return True
