"""The signature of TikTok Shop requests: sorted query and exact body, wrapped in the secret."""

import hashlib
import hmac
from collections.abc import Mapping

UNSIGNED = ("sign", "access_token")


def shop_sign(secret: str, path: str, query: Mapping[str, str], body: bytes = b"") -> str:
    """Return the sign of a request; `query` decoded, `body` empty for multipart requests."""
    pairs = "".join(f"{name}{query[name]}" for name in sorted(query) if name not in UNSIGNED)
    text = f"{secret}{path}{pairs}".encode() + body + secret.encode()
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def signs(given: str, expected: str) -> bool:
    """Compare without telling by time how far they agree."""
    return hmac.compare_digest(given.encode(), expected.encode())
