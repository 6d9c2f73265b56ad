"""Proof keys as TikTok wants them: the challenge is lower-case hex of SHA-256, not base64url."""

import base64
import hashlib
import hmac
import re
from typing import Literal

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
Base64url = Literal["reject", "accept", "ignore"]


def _matches(challenge: str, expected: str) -> bool:
    return hmac.compare_digest(challenge.encode(), expected.encode())


def proves(verifier: str, challenge: str, base64url: Base64url) -> bool:
    """Say whether the verifier belongs to the challenge; `base64url` says what an RFC 7636 challenge is worth."""
    looks_hex = re.fullmatch(r"[0-9a-f]{64}", challenge) is not None
    if base64url == "ignore" and not looks_hex:
        return True
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode())
    if looks_hex:
        return _matches(challenge, digest.hexdigest())
    rfc = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    return base64url == "accept" and _matches(challenge, rfc)
