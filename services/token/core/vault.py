"""Seals the tokens of a connection so that a ciphertext opens in its own row, epoch, generation and field only."""

from dataclasses import dataclass, field
from uuid import UUID

from libs.secret import Secret
from libs.vault.ring import KeyRing
from services.token.domain.connection import Version
from services.token.domain.grant import Grant

PURPOSE = "tokhub/token/v1"


@dataclass(frozen=True, kw_only=True)
class SealedTokens:
    """Both tokens, sealed."""

    access: bytes = field(repr=False)
    refresh: bytes = field(repr=False)


class Vault:
    """The only place where tokens are sealed and opened."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def seal(self, grant: Grant, connection_id: UUID, version: Version) -> SealedTokens:
        """Return the grant's tokens sealed for one version of one connection."""
        return SealedTokens(
            access=self._seal(grant.access_token, connection_id, version, "access"),
            refresh=self._seal(grant.refresh_token, connection_id, version, "refresh"),
        )

    def open_access(self, sealed: bytes, connection_id: UUID, version: Version) -> Secret:
        """Return the access token; raises libs.vault.ring.CannotOpen."""
        return self._open(sealed, connection_id, version, "access")

    def open_refresh(self, sealed: bytes, connection_id: UUID, version: Version) -> Secret:
        """Return the refresh token; raises libs.vault.ring.CannotOpen."""
        return self._open(sealed, connection_id, version, "refresh")

    def _seal(self, token: Secret, connection_id: UUID, version: Version, name: str) -> bytes:
        return self._ring.seal(token.reveal().encode(), place(connection_id, version, name))

    def _open(self, sealed: bytes, connection_id: UUID, version: Version, name: str) -> Secret:
        return Secret(self._ring.open(sealed, place(connection_id, version, name)).decode())


def place(connection_id: UUID, version: Version, name: str) -> tuple[str, ...]:
    """Return the associated data of one token."""
    return (PURPOSE, str(connection_id), str(version.epoch), str(version.generation), name)
