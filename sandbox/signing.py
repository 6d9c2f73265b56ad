"""Tokens that carry their own proof, so every token ever minted is recognised without remembering it."""

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import Any, Literal

TokenKind = Literal["access", "refresh"]
Family = Literal["login", "TTP", "ROW"]
PREFIXES: dict[tuple[Family, TokenKind], str] = {
    ("login", "access"): "act.CNRY",
    ("login", "refresh"): "rft.CNRY",
    ("TTP", "access"): "TTP_CNRYa",
    ("TTP", "refresh"): "TTP_CNRYr",
    ("ROW", "access"): "ROW_CNRYa",
    ("ROW", "refresh"): "ROW_CNRYr",
}
_MEANINGS = {prefix: meaning for meaning, prefix in PREFIXES.items()}
_TOKEN = re.compile(r"(act\.CNRY|rft\.CNRY|TTP_CNRY[ar]|ROW_CNRY[ar])([0-9a-f]{12})s(\d+)e(\d+)k[0-9a-f]{24}.*")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a genuine token says of itself; `serial` is its generation, `expires` sandbox time in Unix milliseconds."""

    kind: TokenKind
    grant: str
    serial: int
    expires: int
    family: Family = "login"


class Signer:
    """Mints and recognises tokens and tickets with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _mac(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def mint(self, claim: Claim) -> str:
        """Return the one token for this claim."""
        body = f"{PREFIXES[claim.family, claim.kind]}{claim.grant}s{claim.serial}e{claim.expires}"
        mac = self._mac(body)
        token = f"{body}k{mac[:24]}"
        return f"{token}!{int(mac[24:32], 16) % 10_000:04d}.s1" if claim.family == "login" else token

    def read(self, token: str) -> Claim | None:
        """Return what the token claims, or None if it was never minted here."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            return None
        family, kind = _MEANINGS[found[1]]
        claim = Claim(kind=kind, grant=found[2], serial=int(found[3]), expires=int(found[4]), family=family)
        return claim if hmac.compare_digest(self.mint(claim).encode(), token.encode()) else None

    def seal(self, value: dict[str, Any]) -> str:
        """Return `value` as a ticket that nobody else can make."""
        body = urlsafe_b64encode(json.dumps(value).encode()).decode()
        return f"{body}.{self._mac('ticket ' + body)}"

    def unseal(self, ticket: str) -> dict[str, Any] | None:
        """Return the value of a ticket, or None if it was not sealed here."""
        body, _, mac = ticket.rpartition(".")
        if not hmac.compare_digest(self._mac("ticket " + body).encode(), mac.encode()):
            return None
        try:
            value: dict[str, Any] = json.loads(urlsafe_b64decode(body))
        except (ValueError, Base64Error):
            return None
        return value
