"""Tells whether TikTok sent a webhook: the signatures of both families, over the very bytes of the body."""

import hmac
import re
from dataclasses import dataclass

from libs.secret import Secret

UNIX_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class LoginSignature:
    """The two parts of a TikTok-Signature; `at` is in Unix seconds, as text, because it is signed as it stands."""

    at: str
    digest: str

    def fits(self, secret: Secret, body: bytes) -> bool:
        """Return whether the app's secret makes this signature of its time and the body; in constant time."""
        expected = hmac.digest(secret.reveal().encode(), f"{self.at}.".encode() + body, "sha256").hex()
        return hmac.compare_digest(expected.encode(), self.digest.encode())


def login_signature(header: str) -> LoginSignature | None:
    """Return the parts of `t=…,s=…`, None when one is missing, doubled or no time; other parts are not looked at."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    named = {name: value for name, _, value in parts}
    if len(named) != len(parts) or not UNIX_TIME.fullmatch(named.get("t", "")) or "s" not in named:
        return None
    return LoginSignature(at=named["t"], digest=named["s"])


def shop_signature_fits(app_key: str, secret: Secret, body: bytes, header: str) -> bool:
    """Return whether the Authorization header of a Shop webhook is made of key, secret and body; in constant time."""
    expected = hmac.digest(secret.reveal().encode(), app_key.encode() + body, "sha256").hex()
    return hmac.compare_digest(expected.encode(), header.encode())
