"""Seals the tokens of a connection so that a ciphertext opens in its own row, epoch, generation and field only."""

import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from libs.errors import ServerMisconfig
from libs.secret import Secret
from libs.vault.ring import CannotOpen, KeyRing, header, key_id_of, place_of
from libs.vault.usage import REFUSE_AT
from services.token.domain.connection import Provider, Version
from services.token.domain.grant import Grant

PURPOSE = "tokhub/token/v1"


@dataclass(frozen=True, kw_only=True)
class SealedTokens:
    """Both tokens, sealed; the mark tells the refresh token again without telling it, and is empty without need."""

    access: bytes = field(repr=False)
    refresh: bytes = field(repr=False)
    mark: bytes = field(default=b"", repr=False)


class Vault:
    """The only place where tokens are sealed and opened."""

    def __init__(self, ring: KeyRing, mark_keys: Sequence[bytes] = ()) -> None:
        self._ring = ring
        self._mark_keys = mark_keys

    def marks(self, refresh_token: Secret) -> Sequence[bytes]:
        """Return all that a refresh token may have been marked with, first what it would be now."""
        return [hmac.digest(key, refresh_token.reveal().encode(), "sha256") for key in self._mark_keys]

    def mark(self, refresh_token: Secret) -> bytes:
        """Return what tells a refresh token again without telling it; empty for a vault that marks nothing."""
        return next(iter(self.marks(refresh_token)), b"")

    def seal(self, grant: Grant, connection_id: UUID, version: Version) -> SealedTokens:
        """Return the grant's tokens sealed for one version of one connection."""
        return SealedTokens(
            access=self._seal(grant.access_token, connection_id, version, "access"),
            refresh=self._seal(grant.refresh_token, connection_id, version, "refresh"),
            mark=self.mark(grant.refresh_token) if grant.provider is Provider.TIKTOK_SHOP else b"",
        )

    def open_access(self, sealed: bytes, connection_id: UUID, version: Version) -> Secret:
        """Return the access token; raises libs.vault.ring.CannotOpen."""
        return self.open_at(sealed, access_place(connection_id, version))

    def open_at(self, sealed: bytes, place: bytes) -> Secret:
        """Return the token that was sealed for a place; raises libs.vault.ring.CannotOpen."""
        return Secret(self._ring.open(sealed, place).decode())

    def open_refresh(self, sealed: bytes, connection_id: UUID, version: Version) -> Secret:
        """Return the refresh token; raises libs.vault.ring.CannotOpen."""
        return self.open_at(sealed, place(connection_id, version, "refresh"))

    @property
    def active_header(self) -> bytes:
        """What every value begins with that is sealed with the active key."""
        return header(self._ring.active)

    @property
    def active_key(self) -> str:
        """Id of the key that seals."""
        return self._ring.active

    def reseal(self, sealed: SealedTokens, connection_id: UUID, version: Version) -> SealedTokens:
        """Return the same tokens of the same version sealed with the active key; raise libs.vault.ring.CannotOpen."""
        access = self.open_access(sealed.access, connection_id, version)
        refresh = self.open_refresh(sealed.refresh, connection_id, version)
        return SealedTokens(
            access=self._seal(access, connection_id, version, "access"),
            refresh=self._seal(refresh, connection_id, version, "refresh"),
        )

    def faults(self, sealed: SealedTokens, connection_id: UUID, version: Version) -> dict[str, str]:
        """Return why a field does not open, by its name; empty when both do."""
        found = {}
        for name, value in (("access", sealed.access), ("refresh", sealed.refresh)):
            try:
                self.open_at(value, place(connection_id, version, name))
            except CannotOpen as error:
                found[name] = str(error)
        return found

    def lacked_keys(self, *values: bytes) -> list[str]:
        """Return the key ids that values name and the ring lacks."""
        named = set()
        for value in values:
            with suppress(CannotOpen):
                named.add(key_id_of(value))
        return sorted(named - set(self._ring.key_ids))

    def require_room(self) -> None:
        """Raise ServerMisconfig when the active key has sealed as often as it may.

        Asked before a token is obtained, never after: what TikTok has given is sealed in any case.
        """
        key_id = self._ring.active
        if self._ring.usage.total(key_id) >= REFUSE_AT:
            raise ServerMisconfig(
                f"Key {key_id} has sealed as often as a key may: put a new key first in TOKEN_ENC_KEYS of every "
                "replica, then rotate (docs/vault.md).",
                metadata={"key_id": key_id},
            )

    def _seal(self, token: Secret, connection_id: UUID, version: Version, name: str) -> bytes:
        return self._ring.seal(token.reveal().encode(), place(connection_id, version, name))


def place(connection_id: UUID, version: Version, name: str) -> bytes:
    """Return the only place in which one token opens."""
    return place_of(PURPOSE, str(connection_id), str(version.epoch), str(version.generation), name)


def access_place(connection_id: UUID, version: Version) -> bytes:
    """Return the only place in which an access token opens."""
    return place(connection_id, version, "access")
