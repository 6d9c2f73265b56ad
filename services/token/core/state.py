"""The state of a consent link: signed, expiring, and saying whom it is for."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from libs.errors import InvalidField, StateExpired, StateInvalid
from libs.secret import Secret
from services.token.domain.connection import ByOwner, Owner, OwnerKind, Provider

VERSION = 1
SKEW = timedelta(seconds=60)  # a fail-over may set the database's clock back or forth
LONGEST_LIFETIME = timedelta(days=7)


class Purpose(StrEnum):
    """What a link is for: only one that an operator made to replace an account may do so while it is live."""

    CONNECT = "connect"
    REPLACE = "replace"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a link is for, how long it lives and where it leads back to; the service's usual ones when not given."""

    purpose: Purpose = Purpose.CONNECT
    lifetime: timedelta | None = None
    redirect_uri: str = ""


USUAL = Terms()
PURPOSES = frozenset(Purpose)


@dataclass(frozen=True, kw_only=True)
class Link:
    """What a state says, its times by the database's clock; nonce_hash is empty when no browser is bound to it.

    verifier is the link's for PKCE: 43 characters, the same on every replica, stored nowhere. redirect_uri is empty
    for the app's own.
    """

    id: UUID
    purpose: Purpose
    target: ByOwner
    team_id: int
    nonce_hash: str
    issued_at: datetime
    expires_at: datetime
    redirect_uri: str
    verifier: str = field(repr=False)

    def require_live(self, now: datetime) -> None:
        """Raise StateExpired after the link's end, StateInvalid before it was issued; now is the database's time."""
        if now + SKEW < self.issued_at:
            raise StateInvalid
        if self.expires_at + SKEW < now:
            raise StateExpired


class AnotherBrowser(StateInvalid):
    """This connect link was opened in another browser: start again in this one."""

    def __init__(self, link_id: UUID) -> None:
        super().__init__()
        self.link_id = link_id


@dataclass(frozen=True)
class Keys:
    """What one secret signs states with, and makes their verifiers of."""

    signing: bytes = field(repr=False)
    verifying: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: Secret, redirect_uri: str) -> "Keys":
        """Return the keys of a secret; a state that was made for another redirect is signed with another key."""
        signing = hmac.digest(derive(secret, "state"), redirect_uri.encode(), "sha256")
        return cls(signing=signing, verifying=derive(secret, "pkce"))

    def sign(self, payload: str) -> str:
        """Return the signature of a payload."""
        return encode(hmac.digest(self.signing, payload.encode(), "sha256"))

    def verifier(self, link_id: UUID) -> str:
        """Return the PKCE verifier of a link."""
        return encode(hmac.digest(self.verifying, link_id.bytes, "sha256"))


class States:
    """Writes states with the first of its secrets and reads those of all, for one app; further redirects by name."""

    def __init__(
        self, *, secrets: Sequence[Secret], redirect_uri: str, lifetime: timedelta, allowed: Collection[str] = ()
    ) -> None:
        self._ring = [Keys.of(secret, redirect_uri) for secret in secrets]
        self._lifetime = lifetime
        self._usual_redirect = redirect_uri
        self._allowed_redirects = allowed

    def new(self, target: ByOwner, team_id: int, nonce: str, now: datetime, terms: Terms = USUAL) -> Link:
        """Return a link that lives from now on, by the database's clock; an empty nonce binds it to no browser.

        Raises InvalidField for a redirect that is not allowed.
        """
        lifetime = min(terms.lifetime or self._lifetime, LONGEST_LIFETIME)
        issued_at = now.replace(microsecond=0)
        link_id = uuid4()
        return Link(
            id=link_id,
            purpose=terms.purpose,
            target=target,
            team_id=team_id,
            nonce_hash=hash_nonce(nonce) if nonce else "",
            issued_at=issued_at,
            expires_at=issued_at + lifetime,
            redirect_uri=self._redirect(terms.redirect_uri),
            verifier=self._ring[0].verifier(link_id),
        )

    def write(self, link: Link) -> str:
        """Return the signed state."""
        body = {
            "v": VERSION,
            "id": link.id.hex,
            "for": link.purpose.value,
            "provider": link.target.provider.value,
            "kind": link.target.owner.kind.value,
            "owner": link.target.owner.id,
            "team": link.team_id,
            "nonce": link.nonce_hash,
            "iat": int(link.issued_at.timestamp()),
            "exp": int(link.expires_at.timestamp()),
            "to": link.redirect_uri,
        }
        payload = encode(json.dumps(body, separators=(",", ":")).encode())
        return f"{payload}.{self._ring[0].sign(payload)}"

    def read(self, state: str, nonce: str) -> Link:
        """Return what a state says, however old; raise StateInvalid when it is not ours or another browser's."""
        payload, _, signature = state.partition(".")
        link = parse(payload, self._signer(payload, signature))
        if link.nonce_hash and not hmac.compare_digest(link.nonce_hash, hash_nonce(nonce)):
            raise AnotherBrowser(link.id)
        return link

    def _redirect(self, wanted: str) -> str:
        if wanted in ("", self._usual_redirect):
            return ""
        if wanted not in self._allowed_redirects:
            raise InvalidField("redirect_uri", "must be TIKTOK_REDIRECT_URI or one of TIKTOK_ALLOWED_REDIRECT_URIS")
        return wanted

    def _signer(self, payload: str, signature: str) -> Keys:
        for keys in self._ring:
            if hmac.compare_digest(signature.encode(), keys.sign(payload).encode()):
                return keys
        raise StateInvalid


def parse(payload: str, keys: Keys) -> Link:
    """Return the link of a payload whose signature has been checked."""
    body: dict[str, Any] = json.loads(decode(payload))
    if body["v"] != VERSION or body["for"] not in PURPOSES:
        raise StateInvalid
    owner = Owner(kind=OwnerKind(body["kind"]), id=body["owner"])
    link_id = UUID(hex=body["id"])
    return Link(
        id=link_id,
        purpose=Purpose(body["for"]),
        target=ByOwner(provider=Provider(body["provider"]), owner=owner),
        team_id=body["team"],
        nonce_hash=body["nonce"],
        # The releases before did not say when, nor where to.
        redirect_uri=body.get("to", ""),
        issued_at=datetime.fromtimestamp(body.get("iat", 0), UTC),
        expires_at=datetime.fromtimestamp(body["exp"], UTC),
        verifier=keys.verifier(link_id),
    )


def new_nonce() -> str:
    """Return a nonce for a browser to keep."""
    return secrets.token_urlsafe(32)


def hash_nonce(nonce: str) -> str:
    """Return the form of a nonce that may be shown to anyone."""
    return encode(hashlib.sha256(nonce.encode()).digest())


def derive(secret: Secret, purpose: str) -> bytes:
    """Return the key for one purpose."""
    return hmac.digest(secret.reveal().encode(), f"tokhub/{purpose}/v1".encode(), "sha256")


def encode(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return the bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
