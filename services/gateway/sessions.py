"""Sessions of the console: who has signed in with a key, on every gateway, until they sign out or stay away."""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi import Request

from libs.errors import NotAllowed, ServerMisconfig
from services.gateway.auth import AdminKey
from services.gateway.cookies import Cookie, is_plain_loopback

LONGEST = 2_592_000  # seconds, thirty days
TOKEN_BYTES = 32
# Rows know when a session ends; the cookie goes with the longest that a setting allows.
SESSION = Cookie(name="tokhub_session", seconds=LONGEST, same_site="strict")


@dataclass(frozen=True, kw_only=True)
class SessionLife:
    """How long a session lasts unused, and at most; in seconds."""

    idle: float
    longest: float


class SessionRows(Protocol):
    """Where sessions are kept, by ids that say nothing about tokens and keys; StorageUnavailable."""

    async def begin(self, session_id: bytes, key_name: str) -> None:
        """Keep a new session."""
        ...

    async def use(self, session_ids: Sequence[bytes], life: SessionLife) -> bytes | None:
        """Return which of these is a session that has not ended, and keep it from ending unused; None for none."""
        ...

    async def end(self, session_ids: Sequence[bytes]) -> None:
        """End sessions."""
        ...

    async def end_all(self, key_name: str) -> None:
        """End every session of a key."""
        ...


class Sessions(Protocol):
    """Knows who has signed in; StorageUnavailable."""

    async def begin(self, key: AdminKey) -> str:
        """Begin a session of a key; return the token that its browser keeps."""
        ...

    async def key_of(self, token: str) -> AdminKey | None:
        """Return the key of a token's session, None when it has ended or the key has left the settings."""
        ...

    async def end(self, token: str) -> None:
        """End a token's session."""
        ...

    async def end_all(self, key: AdminKey) -> None:
        """End every session of a key, wherever it was begun."""
        ...


class NoSessions:
    """Nobody can sign in, as long as there is nowhere to keep sessions."""

    async def begin(self, _key: AdminKey) -> str:
        """Raise ServerMisconfig."""
        raise ServerMisconfig("Nobody can sign in here: sessions are kept in a database, set DATABASE_URL")

    async def key_of(self, _token: str) -> None:
        """Return that there is none."""

    async def end(self, _token: str) -> None:
        """Do nothing."""

    async def end_all(self, _key: AdminKey) -> None:
        """Do nothing."""


@dataclass(frozen=True, kw_only=True)
class KeptSessions:
    """Sessions in rows.

    A row's id is made of the token and the key, and of neither can it tell anything: a session whose key has left the
    settings, or was replaced under the same name, is not found any more.
    """

    keys: Sequence[AdminKey]
    rows: SessionRows
    life: SessionLife

    async def begin(self, key: AdminKey) -> str:
        """Begin a session of a key; return the token that its browser keeps."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await self.rows.begin(session_id(token, key), key.name)
        return token

    async def key_of(self, token: str) -> AdminKey | None:
        """Return the key of a token's session, None when it has ended or the key has left the settings."""
        possible = self._possible(token)
        found = await self.rows.use(list(possible), self.life)
        return possible[found] if found else None

    async def end(self, token: str) -> None:
        """End a token's session."""
        await self.rows.end(list(self._possible(token)))

    async def end_all(self, key: AdminKey) -> None:
        """End every session of a key, wherever it was begun."""
        await self.rows.end_all(key.name)

    def _possible(self, token: str) -> Mapping[bytes, AdminKey]:
        return {session_id(token, key): key for key in self.keys}


def session_id(token: str, key: AdminKey) -> bytes:
    """Return the id of a session by its token and the key that began it."""
    return hmac.digest(key.digest, token.encode(), "sha256")


def refuse_other_sites(request: Request) -> None:
    """Raise NotAllowed unless the browser says that a page of this very origin asks.

    A browser sends a session's cookie whoever's page asks, as far as SameSite lets it: pages on other ports of this
    machine count as the same site. What it says in these two headers no page can change, so that a token in the page
    would add nothing.
    """
    fetch_site = request.headers.get("sec-fetch-site")
    if fetch_site == "same-origin" or (fetch_site is None and request.headers.get("origin") == own_origin(request)):
        return
    if request.headers.get("origin", "").startswith("http://") and not is_plain_loopback(request):
        raise NotAllowed("Open the console over https: over http, browsers keep no session but on the same machine")
    raise NotAllowed("Only the console's own pages may do this with a session: no other page, and none without Origin")


def own_origin(request: Request) -> str:
    """Return the origin that this gateway has for the browser; anything but plain loopback http is taken for https."""
    scheme = "http" if is_plain_loopback(request) else "https"
    return f"{scheme}://{request.headers.get('host', '')}"
