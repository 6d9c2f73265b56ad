"""Hands out access tokens that work, and refreshes on request."""

import contextlib
from enum import StrEnum
from typing import NamedTuple, Protocol

import structlog

from libs.errors import ConnectionNotFound, ReauthRequired, ServerMisconfig, TryLater, UpstreamBadResponse
from libs.secret import Secret
from libs.vault.ring import CannotOpen
from services.token.core.cache import ReadCache, Shared, SharedReads
from services.token.core.connections import ConnectionsPort, Held
from services.token.core.refresh import Refresher, raise_unless_usable
from services.token.core.vault import Vault
from services.token.domain.connection import Connection, Need, Reference, Why

NOTHING = (None, 0.0)

log = structlog.get_logger()


class Source(StrEnum):
    """Where a connection was read."""

    CACHE = "cache"
    DATABASE = "database"


class ValidToken(NamedTuple):
    """An access token; fresh is False when it is shorter than asked for."""

    connection: Connection
    access_token: Secret
    fresh: bool
    source: Source


class TokensPort(Protocol):
    """What internal services ask for; every method raises ConnectionNotFound, ReauthRequired or a TryLater."""

    async def get_valid(self, reference: Reference, need: Need) -> ValidToken:
        """Return an access token that meets the need."""
        ...

    async def meet(self, held: Held, need: Need) -> ValidToken:
        """Return an access token of a connection that was read just now."""
        ...

    async def refresh(self, reference: Reference, request_id: str) -> Connection:
        """Return the connection with tokens newer than before this request; a repeated request_id spends nothing."""
        ...

    async def refresh_when_due(self, reference: Reference, request_id: str) -> tuple[Connection, bool]:
        """Return the connection, refreshed if it is due, and whether this request_id refreshed it."""
        ...


class Tokens:
    """Implements TokensPort."""

    def __init__(
        self,
        *,
        connections: ConnectionsPort,
        cache: ReadCache,
        refresher: Refresher,
        vault: Vault,
        shared: SharedReads | None = None,
    ) -> None:
        self._connections = connections
        self._cache = cache
        self._shared = shared
        self._refresher = refresher
        self._vault = vault

    async def get_valid(self, reference: Reference, need: Need) -> ValidToken:
        """Return an access token that meets the need.

        Raises ConnectionNotFound, ReauthRequired, UpstreamBadResponse or a TryLater.
        """
        known = self._cached(reference, need)
        if known:
            return known
        asked = await self._ask_others(reference)
        known = self._cached(reference, need) if asked else None
        return known or await self.meet(await self._read(reference, asked), need)

    async def meet(self, held: Held, need: Need) -> ValidToken:
        """Return an access token of a connection that was read just now; raises as get_valid."""
        held = self._refresher.newest(held)
        if need.met_by(held.connection):
            return await self._opened(held, fresh=True)
        try:
            raise_unless_usable(held)
            return await self._opened(await self._refresher.refresh(held.connection, need), fresh=True)
        except (TryLater, ServerMisconfig, UpstreamBadResponse, ReauthRequired) as error:
            spent = held.connection.version.generation == need.spent_generation
            if outlives(error) and held.connection.seconds_left > 0 and not spent:
                return await self._opened(held, fresh=False)
            raise

    async def refresh(self, reference: Reference, request_id: str) -> Connection:
        """Return the connection with tokens newer than before this request; a repeated request_id spends nothing."""
        held = await self._usable(reference)
        if await self._connections.answered(held.connection.id, request_id) is not None:
            return held.connection
        need = Need(min_ttl=0, spent_generation=held.connection.version.generation)
        refreshed = await self._refresher.refresh(held.connection, need)
        generation = refreshed.connection.version.generation
        # The tokens are safe; without this note a repeat of the request would only refresh once more.
        with contextlib.suppress(TryLater):
            await self._connections.record_answer(held.connection.id, request_id, generation)
        return refreshed.connection

    async def refresh_when_due(self, reference: Reference, request_id: str) -> tuple[Connection, bool]:
        """Return the connection, refreshed if it is due, and whether this request_id refreshed it."""
        held = await self._usable(reference)
        if await self._connections.answered(held.connection.id, request_id) is not None:
            return held.connection, True
        if not held.connection.needs_refresh:
            return held.connection, False
        return await self.refresh(reference, request_id), True

    async def _usable(self, reference: Reference) -> Held:
        held = await self._read(reference)
        raise_unless_usable(held)
        return held

    async def _ask_others(self, reference: Reference) -> Shared | None:
        """Take over what another replica read, as far as nothing has changed since."""
        asked = await self._shared.get(reference) if self._shared else None
        if asked and asked.held:
            self._cache.put(asked.held, asked.begun)
        return asked

    async def _read(self, reference: Reference, asked: Shared | None = None) -> Held:
        begun = self._cache.begin()
        held = await self._connections.find(reference)
        if held is None:
            raise ConnectionNotFound
        self._cache.put(held, begun)
        if self._shared and asked:
            await self._shared.put(held, asked.moment)
        return self._refresher.newest(held)

    def _cached(self, reference: Reference, need: Need) -> ValidToken | None:
        held, age = self._cache.get(reference) or NOTHING
        if held is None or not need.met_by(held.connection, age):
            return None
        try:
            return ValidToken(held.connection, self._vault.open_at(held.access, held.place), True, Source.CACHE)
        except CannotOpen:
            return None  # whoever reads the row says what is wrong with it

    async def _opened(self, held: Held, *, fresh: bool) -> ValidToken:
        connection = held.connection
        try:
            token = self._vault.open_at(held.access, held.place)
        except CannotOpen as error:
            log.error("stored token does not open", connection=str(connection.id), why=str(error))
            await self._connections.suspect(connection.id, connection.version, self._vault.lacked_keys(held.access))
            raise ServerMisconfig("The stored token of this connection does not open: check the key ring.") from None
        return ValidToken(connection, token, fresh, Source.DATABASE)


def outlives(error: Exception) -> bool:
    """Return whether the access token goes on working: not when TikTok has ended the grant.

    A lost answer ends only the refresh token; the grant it was for lives on until the access token runs out.
    """
    return not isinstance(error, ReauthRequired) or error.metadata.get("why") == Why.LOST_RESPONSE
