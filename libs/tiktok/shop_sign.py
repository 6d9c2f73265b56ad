"""The signature of TikTok Shop's business calls."""

import hmac
from collections.abc import Mapping

from libs.secret import Secret

UNSIGNED = frozenset({"sign", "access_token"})


def shop_sign(secret: Secret, path: str, query: Mapping[str, str], body: bytes = b"") -> str:
    """Return the sign of a request, over its decoded query and the very bytes of its body.

    An empty body and `{}` have different signatures; multipart bodies are not signed, so pass none.
    """
    parameters = "".join(f"{name}{query[name]}" for name in sorted(query) if name not in UNSIGNED)
    key = secret.reveal().encode()
    return hmac.digest(key, key + f"{path}{parameters}".encode() + body + key, "sha256").hex()
