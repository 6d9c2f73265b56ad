"""Opens tokens that another system sealed with AES-256-GCM, in memory only.

Such systems join nonce, tag and ciphertext in some order, in hex or base64, with a sign between them or none. All
usual ways are tried: the tag lets none but the right one open.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.settings import WrongSetting

# What TikTok's tokens begin with, by what is documented and seen: act.… and rft.…, TTP_…, ROW_…, GCP_….
CLEAR = re.compile(r"(act|rft)\.[!-~]+|[A-Z]{3}_[!-~]+")
KEY = re.compile(r"[0-9A-Fa-f]{64}")
SEPARATORS = re.compile(r"[:.|]")
TAG = 16  # bytes
NONCES = (12, 16)  # bytes
Sealed = tuple[bytes, bytes]


class TokenNotOpened(Exception):
    """A token cannot be had in clear; the text says why and holds nothing of it."""


def read_key(path: Path) -> bytes:
    """Return the key that a file holds; raise WrongSetting."""
    try:
        written = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSetting(f"--key-file cannot be read: {type(error).__name__} at {path}") from None
    if not KEY.fullmatch(written):
        raise WrongSetting(f"--key-file must hold the 64 hex digits of the old TOKEN_ENC_KEY: {path} does not")
    return bytes.fromhex(written)


def opened(token: str, key: bytes | None) -> str:
    """Return a token in clear; raise TokenNotOpened."""
    ways = list(ways_to_read(token))
    for nonce, sealed in ways if key else ():
        with suppress(InvalidTag, UnicodeDecodeError):
            return AESGCM(key or b"").decrypt(nonce, sealed, None).decode("ascii")
    if not ways or CLEAR.fullmatch(token):
        return token
    if key is None:
        raise TokenNotOpened("is encrypted, it seems: give the old key with --key-file")
    raise TokenNotOpened("does not open with the key of --key-file")


def ways_to_read(token: str) -> Iterator[Sealed]:
    """Yield what could be nonce, and ciphertext with the tag behind it."""
    for decode in (bytes.fromhex, from_base64):
        parts = decoded(SEPARATORS.split(token), decode)
        match parts:
            case [nonce, first, second] if len(nonce) in NONCES:
                yield nonce, second + first
                yield nonce, first + second
            case [nonce, rest] if len(nonce) in NONCES:
                yield from either_order(nonce, rest)
            case [whole]:
                for size in NONCES:
                    yield from either_order(whole[:size], whole[size:])


def either_order(nonce: bytes, rest: bytes) -> Iterator[Sealed]:
    """Yield both places of the tag, behind the ciphertext and before it."""
    if len(rest) > TAG:
        yield nonce, rest
        yield nonce, rest[TAG:] + rest[:TAG]


def decoded(parts: list[str], decode: Callable[[str], bytes]) -> list[bytes]:
    """Return the parts as bytes; empty when one of them is not in this encoding."""
    try:
        return [decode(part) for part in parts]
    except (ValueError, binascii.Error):
        return []


def from_base64(part: str) -> bytes:
    """Return what either alphabet of base64 stands for, padded or not; raise ValueError."""
    plain = part.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
