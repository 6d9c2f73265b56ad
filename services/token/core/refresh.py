"""Refreshes a connection once, however many ask for it.

One flight per connection and process: its callers share a task that no caller's death cancels. Between processes the
lease row decides who calls TikTok; the new tokens are saved by epoch and generation, not by lease, so a holder that
was paused past its lease still saves what only it has.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from libs.clock import Clock
from libs.errors import (
    ConnectionNotFound,
    ReauthRequired,
    RefreshInProgress,
    StorageUnavailable,
    TokhubError,
    UpstreamUnavailable,
)
from libs.jitter import uniform
from services.token.core.connections import ConnectionsPort, Held
from services.token.core.exchange import Exchange
from services.token.core.sight import Sight
from services.token.domain.connection import ById, Connection, Need, Provider, Status

# Longer than two bounded calls to TikTok (15 s each), the pause between them, and the save.
LEASE = 45.0
POLL = (0.05, 0.15)  # seconds between looks at a lease that another process holds, growing
POLL_MAX = 0.5
PATIENCE = 60.0  # seconds a flight waits for other processes before it says so
PATIENCE_WITH_TOKEN = 3.0  # seconds, while the old access token still works
UNSAVED_PATIENCE = 5.0  # seconds for a row that must take its new tokens before another refresh

log = structlog.get_logger()


@dataclass(frozen=True)
class Answer:
    """What a refresh brought, and the monotonic time when it did."""

    held: Held
    at: float

    def aged(self, now: float) -> Held:
        """Return what is left of it."""
        connection = self.held.connection
        left = connection.seconds_left - (now - self.at)
        return replace(self.held, connection=replace(connection, seconds_left=left))


@dataclass(frozen=True)
class Flight:
    """A refresh on its way: what its callers wait for, which comes before the task that must still save."""

    answer: "asyncio.Future[Answer]"
    task: "asyncio.Task[None]"


class Refresher:
    """Brings a connection to a state that meets a need, by at most one call to TikTok per generation."""

    def __init__(self, *, connections: ConnectionsPort, exchange: Exchange, sight: Sight, clock: Clock) -> None:
        self._connections = connections
        self._exchange = exchange
        self._sight = sight
        self._clock = clock
        self._flights: dict[UUID, Flight] = {}

    async def refresh(self, connection: Connection, need: Need) -> Held:
        """Return the connection with the need met, or just refreshed; raise what stands in its way."""
        while True:
            flight = self._flights.get(connection.id) or self._take_off(connection, need)
            try:
                held = (await asyncio.shield(flight.answer)).aged(self._clock.monotonic())
                if need.settled_by(held.connection, connection.version):
                    return held
                await asyncio.wait({flight.task}, timeout=UNSAVED_PATIENCE)
                if not flight.task.done():
                    raise StorageUnavailable("This connection's new tokens cannot be saved yet: try again in a moment.")
            finally:
                # An error's traceback leads here, and a flight to its error: no circle for the collector of them.
                del flight

    def newest(self, held: Held) -> Held:
        """Return the connection with tokens that this process has been given and not saved yet, if there are any."""
        flight = self._flights.get(held.connection.id)
        if flight is None or not flight.answer.done() or flight.answer.exception():
            return held
        given = flight.answer.result().aged(self._clock.monotonic())
        is_newer = given.connection.version == held.connection.version.refreshed()
        return given if is_newer else held

    @property
    def unsaved(self) -> int:
        """How many new tokens are not in the database yet, though callers have them."""
        flights = list(self._flights.values())
        return sum(flight.answer.done() and not flight.task.done() for flight in flights)

    @property
    def only_here(self) -> Sequence[UUID]:
        """The connections whose newest tokens are in the memory of this process alone."""
        return self._exchange.only_here

    @property
    def reachable(self) -> Sequence[Provider]:
        """The providers that a refresh can be tried at."""
        return self._exchange.reachable

    async def drain(self) -> None:
        """Wait until every flight has landed."""
        while self._flights:
            await asyncio.gather(*(flight.task for flight in self._flights.values()), return_exceptions=True)

    def give_up(self) -> None:
        """End every flight: what only it has been given is lost."""
        for flight in self._flights.values():
            flight.task.cancel()
            if not flight.answer.done():
                flight.answer.set_exception(StorageUnavailable("The service was stopped: try again in a moment."))

    def _take_off(self, connection: Connection, need: Need) -> Flight:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._fly(connection, need, answer), name=f"refresh {connection.id}")
        self._flights[connection.id] = Flight(answer, task)
        # A caller may have left: what nobody waits for is no unhandled error.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._flights[connection.id]

    async def _fly(self, seen: Connection, need: Need, answer: "asyncio.Future[Answer]") -> None:
        """Set the answer, early or late."""
        try:
            held = await self._settle(seen, need, answer)
        except Exception as error:
            if not isinstance(error, TokhubError):
                log.error("refresh broke off", connection=str(seen.id), exc_info=error)
            if not answer.done():
                # Its traceback leads to the answer that holds it.
                answer.set_exception(error.with_traceback(None))
        else:
            if not answer.done():
                answer.set_result(self._answer(held))
        finally:
            # Not when the task is done: who is woken by the answer would meet a flight that has landed, for ever.
            del self._flights[seen.id]

    async def _settle(self, seen: Connection, need: Need, answer: "asyncio.Future[Answer]") -> Held:
        began = self._clock.monotonic()
        give_up_at, settle_for_old_at = began + PATIENCE, began + PATIENCE_WITH_TOKEN
        pause = uniform(*POLL)
        await self._exchange.check(seen)
        while True:
            mark = await self._sight.wait()
            lease = await self._connections.claim(seen.id, need, lease=LEASE)
            if lease and mark == self._sight.mark:
                await self._exchange.spend(lease, lambda held: answer.set_result(self._answer(held)))
                if answer.done():
                    return answer.result().held
            elif lease:
                await self._exchange.leave(lease)
            held = await self._look(seen.id)
            if need.settled_by(held.connection, seen.version):
                return held
            if held.connection.retry_in > 0:
                raise UpstreamUnavailable(
                    "A refresh was tried a moment ago and the next one waits: try again later.",
                    retry_after=held.connection.retry_in,
                )
            if self._clock.monotonic() > (give_up_at if held.connection.seconds_left <= 0 else settle_for_old_at):
                raise RefreshInProgress(retry_after=5.0)
            await self._clock.sleep(pause)
            pause = min(pause * 1.5, POLL_MAX)

    def _answer(self, held: Held) -> Answer:
        return Answer(held, self._clock.monotonic())

    async def _look(self, connection_id: UUID) -> Held:
        held = await self._connections.find(ById(id=connection_id))
        if held is None:
            raise ConnectionNotFound
        raise_unless_usable(held)
        return held


def raise_unless_usable(held: Held) -> None:
    """Raise ReauthRequired for a connection that only its owner can mend."""
    connection = held.connection
    if connection.can_refresh:
        return
    metadata = {"connection_id": str(connection.id), "status": connection.status.value, "why": connection.reason}
    if connection.status is Status.DISCONNECTED:
        raise ReauthRequired("This connection was disconnected: connect the account again.", metadata=metadata)
    raise ReauthRequired(metadata=metadata)
