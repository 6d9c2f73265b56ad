"""Refreshes a connection once, however many ask for it, and never lets go of tokens that TikTok has given.

One flight per connection and process: its callers share a task that no caller's death cancels. Between processes the
lease row decides who calls TikTok; the new tokens are saved by epoch and generation, not by lease, so a holder that
was paused past its lease still saves what only it has.
"""

import asyncio
import random
from dataclasses import dataclass
from uuid import UUID

import structlog

from libs.clock import Clock
from libs.errors import (
    ConnectionNotFound,
    ReauthRequired,
    RefreshInProgress,
    ServerMisconfig,
    StorageUnavailable,
    TokhubError,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from libs.secret import Secret
from libs.vault.ring import CannotOpen
from services.token.core.connections import ConnectionsPort, Held, Lease, Setback
from services.token.core.provider import (
    AppRefused,
    Lost,
    NotSent,
    ProviderPort,
    Providers,
    Refused,
    Unavailable,
    Unknown,
    port_of,
)
from services.token.core.vault import Vault
from services.token.domain.connection import ById, Connection, Need, Status, Why
from services.token.domain.grant import Grant

# Longer than two bounded calls to TikTok (15 s each), the pause between them, and the save.
LEASE = 45.0
SECOND_TRY_AFTER = (2.0, 4.0)  # seconds; the one repeat after an unknown outcome
POLL = (0.05, 0.15)  # seconds between looks at a lease that another process holds, growing
POLL_MAX = 0.5
PATIENCE = 60.0  # seconds a flight waits for other processes before it says so
FIRST_PAUSE = 5.0  # seconds after the first failure, doubled by each further one
LONGEST_PAUSE = 900.0

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What refreshing is made of."""

    connections: ConnectionsPort
    providers: Providers
    vault: Vault
    clock: Clock


class Refresher:
    """Brings a connection to a state that meets a need, by at most one call to TikTok per generation."""

    def __init__(self, parts: Parts) -> None:
        self._connections = parts.connections
        self._providers = parts.providers
        self._vault = parts.vault
        self._clock = parts.clock
        self._flights: dict[UUID, asyncio.Task[Held]] = {}

    async def refresh(self, connection: Connection, need: Need) -> Held:
        """Return the connection with the need met, or just refreshed; raise what stands in its way."""
        while True:
            flight = self._flights.get(connection.id) or self._take_off(connection, need)
            held = await asyncio.shield(flight)
            if need.settled_by(held.connection, connection.version):
                return held

    async def drain(self) -> None:
        """Wait until every flight has landed."""
        while self._flights:
            await asyncio.gather(*self._flights.values(), return_exceptions=True)

    def _take_off(self, connection: Connection, need: Need) -> asyncio.Task[Held]:
        flight = asyncio.create_task(self._fly(connection, need), name=f"refresh {connection.id}")
        self._flights[connection.id] = flight
        flight.add_done_callback(lambda done: self._land(connection.id, done))
        return flight

    def _land(self, connection_id: UUID, flight: asyncio.Task[Held]) -> None:
        del self._flights[connection_id]
        if not flight.cancelled() and (error := flight.exception()) and not isinstance(error, TokhubError):
            log.error("refresh broke off", connection=str(connection_id), exc_info=error)

    async def _fly(self, seen: Connection, need: Need) -> Held:
        port_of(self._providers, seen.provider)
        give_up_at = self._clock.monotonic() + PATIENCE
        pause = random.uniform(*POLL)  # noqa: S311 - jitter
        while True:
            lease = await self._connections.claim(seen.id, need, lease=LEASE)
            if lease:
                await self._use(lease)
            held = await self._look(seen.id)
            if need.settled_by(held.connection, seen.version):
                return held
            if held.connection.retry_in > 0:
                raise UpstreamUnavailable(
                    "The last refresh failed and the next one waits: try again later.",
                    retry_after=held.connection.retry_in,
                )
            if self._clock.monotonic() > give_up_at:
                raise RefreshInProgress(retry_after=5.0)
            await self._clock.sleep(pause)
            pause = min(pause * 1.5, POLL_MAX)

    async def _look(self, connection_id: UUID) -> Held:
        held = await self._connections.find(ById(id=connection_id))
        if held is None:
            raise ConnectionNotFound
        raise_unless_usable(held)
        return held

    async def _use(self, lease: Lease) -> None:
        """Spend the refresh token the lease is for, and leave what came of it in the row."""
        try:
            token = self._vault.open_refresh(lease.refresh, lease.connection_id, lease.version)
        except CannotOpen as error:
            await self._give_back(lease, Setback(pause=LONGEST_PAUSE, status=Status.SUSPECT, reason=Why.UNREADABLE))
            log.error("stored token does not open", connection=str(lease.connection_id), why=str(error))
            raise ServerMisconfig("The stored token of this connection does not open: check the key ring.") from None
        started = self._clock.monotonic()
        try:
            grant = await self._present(port_of(self._providers, lease.provider), token)
        except Unknown:
            await self._suspect(lease)
        except AppRefused as outcome:
            await self._blame_app(lease, outcome)
        except Refused as outcome:
            await self._condemn(lease, outcome)
        except NotSent:
            await self._wait(lease, UpstreamUnavailable(retry_after=pause_after(lease.failures)))
        except Unavailable as outcome:
            kind = UpstreamRateLimited if outcome.limited else UpstreamUnavailable
            await self._wait(lease, kind(retry_after=max(outcome.retry_after, pause_after(lease.failures))))
        else:
            await self._save(lease, grant.aged(self._clock.monotonic() - started))

    async def _present(self, port: ProviderPort, token: Secret) -> Grant:
        """Spend a token, with one repeat after an unknown outcome: a server may end the whole grant at more."""
        try:
            return await port.refresh(token)
        except Unknown:
            await self._clock.sleep(random.uniform(*SECOND_TRY_AFTER))  # noqa: S311 - jitter
        try:
            return await port.refresh(token)
        except AppRefused:
            raise
        except Refused as outcome:
            raise Lost(outcome.word) from None

    async def _save(self, lease: Lease, grant: Grant) -> None:
        """Save new tokens, for as long as it takes: nobody else has them."""
        version = lease.version.refreshed()
        sealed = self._vault.seal(grant, lease.connection_id, version)
        began = self._clock.monotonic()
        while True:
            waited = self._clock.monotonic() - began
            try:
                saved = await self._connections.save(lease, grant.aged(grant.age + waited), sealed)
            except StorageUnavailable:
                log.error("new tokens wait for the database", connection=str(lease.connection_id), waited=waited)
                await self._clock.sleep(min(0.2 + waited, 5.0))
                continue
            if not saved:
                await self._discard(lease, grant)
            return

    async def _discard(self, lease: Lease, grant: Grant) -> None:
        """Deal with tokens whose row has moved on: a disconnect or a new connect won, or the save had worked."""
        held = await self._connections.find(ById(id=lease.connection_id))
        moved = held.connection.version if held else None
        log.warning("refresh overtaken", connection=str(lease.connection_id), had=str(lease.version), now=str(moved))
        if held and held.connection.status is Status.DISCONNECTED:
            try:
                await self._providers[lease.provider].revoke(grant.access_token)
            except Exception as error:  # noqa: BLE001 - the disconnect stands whatever TikTok says now
                log.error("revoke failed", connection=str(lease.connection_id), error=type(error).__name__)

    async def _suspect(self, lease: Lease) -> None:
        setback = Setback(pause=pause_after(lease.failures), status=Status.SUSPECT, reason=Why.LOST_RESPONSE)
        await self._give_back(lease, setback)
        log.error("refresh ended without an answer", connection=str(lease.connection_id))
        raise UpstreamUnavailable(
            "TikTok gave no answer to a refresh: it is tried again later.", retry_after=setback.pause
        )

    async def _condemn(self, lease: Lease, outcome: Refused) -> None:
        """Believe a refusal only if the row still holds the token that was refused: somebody may have rotated it."""
        lost = isinstance(outcome, Lost) or lease.reason == Why.LOST_RESPONSE
        reason = Why.LOST_RESPONSE if lost else Why.REFUSED
        if await self._connections.give_back(lease, Setback(pause=0, status=Status.REAUTH_REQUIRED, reason=reason)):
            log.warning("connection refused", connection=str(lease.connection_id), word=outcome.word, reason=reason)

    async def _blame_app(self, lease: Lease, outcome: Refused) -> None:
        await self._give_back(lease, Setback(pause=pause_after(lease.failures), cause=ServerMisconfig.reason))
        log.error("the app's credentials are refused", provider=lease.provider, word=outcome.word)
        raise ServerMisconfig(f"TikTok refuses the app's credentials: check the key and secret for {lease.provider}.")

    async def _wait(self, lease: Lease, error: UpstreamUnavailable | UpstreamRateLimited) -> None:
        await self._give_back(lease, Setback(pause=error.retry_after, cause=error.reason))
        raise error

    async def _give_back(self, lease: Lease, setback: Setback) -> None:
        try:
            await self._connections.give_back(lease, setback)
        except StorageUnavailable:
            log.warning("lease left to end by itself", connection=str(lease.connection_id))


def raise_unless_usable(held: Held) -> None:
    """Raise ReauthRequired for a connection that only its owner can mend."""
    connection = held.connection
    if connection.can_refresh:
        return
    metadata = {"connection_id": str(connection.id), "status": connection.status.value, "why": connection.reason}
    if connection.status is Status.DISCONNECTED:
        raise ReauthRequired("This connection was disconnected: connect the account again.", metadata=metadata)
    raise ReauthRequired(metadata=metadata)


def pause_after(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row, with jitter."""
    longest: float = min(FIRST_PAUSE * 2 ** min(failures, 10), LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter
