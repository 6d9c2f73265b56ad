"""Lets refreshes land when the process was told to stop, within its grace and not without a word of what is lost.

What TikTok gives is in the journal a moment later, or in the row. When neither can be written it is in the memory of
this process alone: then the process stays and tries both, names the connections, and names them again when it must go.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import structlog

from libs.clock import Clock

TELL_EVERY = 2.0  # seconds

log = structlog.get_logger()


class TokensLost(Exception):
    """A process ended whose memory alone had the tokens of some connections; the text names these."""

    def __init__(self, lost: Sequence[UUID]) -> None:
        super().__init__(
            "neither the journal nor the database could be written, and the new tokens of these connections are lost; "
            f"after one last try they have to be connected again: {', '.join(map(str, lost))}"
        )


class FlightsPort(Protocol):
    """Refreshes on their way."""

    @property
    def unsaved(self) -> int:
        """Return how many new tokens are not in the database yet, though the journal has them."""
        ...

    @property
    def only_here(self) -> Sequence[UUID]:
        """Return the connections whose newest tokens are in the memory of this process alone."""
        ...

    async def drain(self) -> None:
        """Wait until every refresh has landed."""
        ...

    def give_up(self) -> None:
        """End every refresh."""
        ...


class Landing:
    """The end of a process's refreshes; grace is in seconds, and counts from begin on."""

    def __init__(self, *, flights: FlightsPort, grace: float, clock: Clock) -> None:
        self._flights = flights
        self._grace = grace
        self._clock = clock
        self._lost: Sequence[UUID] = ()
        self._watching: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Let the grace run."""
        self._watching = asyncio.create_task(self._watch(), name="landing")

    async def landed(self) -> None:
        """Wait until every refresh has landed or the grace is over; raise TokensLost."""
        await self._flights.drain()
        if self._watching:
            self._watching.cancel()
        if self._lost:
            raise TokensLost(self._lost)

    async def _watch(self) -> None:
        give_up_at = self._clock.monotonic() + self._grace
        while (left := give_up_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(TELL_EVERY, left))
            self._tell(give_up_at - self._clock.monotonic())
        self._lost = self._flights.only_here
        if left_behind := self._flights.unsaved:
            log.warning("the grace of a stop is over: new tokens are left to the journal", count=left_behind)
        self._flights.give_up()

    def _tell(self, left: float) -> None:
        if here := self._flights.only_here:
            log.error(
                "told to stop while tokens are in memory alone: free the journal's disk or bring the database back",
                connections=[str(one) for one in here],
                seconds_left=round(left),
            )
