"""How the two families sign what they send: a header with a time, or a bare digest."""

import hashlib
import hmac


def login_signature(secret: str, at: int, body: bytes) -> str:
    """Return the value of TikTok-Signature; `at` in Unix seconds."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},s={digest}"


def shop_signature(app_key: str, secret: str, body: bytes) -> str:
    """Return the value of Authorization, which has no scheme; lower-case hex."""
    return hmac.new(secret.encode(), app_key.encode() + body, hashlib.sha256).hexdigest()
