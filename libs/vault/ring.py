"""A ring of AES-256-GCM keys: seals with the active one, opens with any, and only in the place a value was sealed for.

A place is bytes that say where a value belongs (place_of); it is the associated data of the cipher. A sealed value is:
version byte, length of the key id, key id, 12-byte nonce, ciphertext with its 16-byte tag.
"""

import os
import re
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.secret import Secret
from libs.vault.usage import KeyUsage

VERSION = 1
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
KEY_HEX = re.compile(r"[0-9a-fA-F]{64}")


class WrongKeys(Exception):
    """The key settings cannot be used; the text never repeats a key."""


class CannotOpen(Exception):
    """A sealed value does not open here: damaged, moved from another place, or sealed with a key that is not known."""


class UnknownKey(CannotOpen):
    """A sealed value needs a key that is not in the ring."""


class KeyRing:
    """Keys by id, in memory; nothing of them shows in a repr.

    preferred is the key that the settings list first, active the one that seals; usage counts what each has sealed.
    """

    def __init__(self, keys: Mapping[str, bytes], active: str) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._openers = {header(key_id): cipher for key_id, cipher in self._ciphers.items()}
        self.preferred = active
        self.active = active
        self.usage = KeyUsage()

    def __repr__(self) -> str:
        return f"KeyRing({len(self._ciphers)} keys, active={self.active})"

    @property
    def key_ids(self) -> Sequence[str]:
        """Ids of all keys, the active one included."""
        return tuple(self._ciphers)

    def activate(self, key_id: str) -> None:
        """Seal with this key from now on; raise WrongKeys when it is not in the ring."""
        if key_id not in self._ciphers:
            raise WrongKeys(f"key {key_id} seals the stored tokens now, and it is not set here")
        self.active = key_id

    def seal(self, plaintext: bytes, place: bytes) -> bytes:
        """Return plaintext sealed with the active key for one place."""
        return self.seal_with(self.active, plaintext, place)

    def seal_with(self, key_id: str, plaintext: bytes, place: bytes) -> bytes:
        """Return plaintext sealed with one of the keys for one place."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[key_id].encrypt(nonce, plaintext, place)
        self.usage.count(key_id)
        return header(key_id) + nonce + sealed

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return the plaintext of a value that was sealed for this place; raise CannotOpen."""
        start = 2 + sealed[1] if len(sealed) > 1 else 0
        cipher = self._openers.get(sealed[:start])
        if cipher is None:
            key_id_of(sealed)  # raises for what is no sealed value at all
            raise UnknownKey("the key it was sealed with is not known here")
        nonce, body = sealed[start : start + NONCE_BYTES], sealed[start + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, body, place)
        except (InvalidTag, ValueError):  # the latter for a nonce cut short
            raise CannotOpen("it is damaged or belongs to another place") from None


def header(key_id: str) -> bytes:
    """Return what every value begins with that this key has sealed, and no other value does."""
    return bytes([VERSION, len(key_id)]) + key_id.encode()


def key_id_of(sealed: bytes) -> str:
    """Return the id of the key a value was sealed with; raise CannotOpen when it is no sealed value."""
    if len(sealed) < 2 or sealed[0] != VERSION or len(sealed) < 2 + sealed[1] + NONCE_BYTES + TAG_BYTES:
        raise CannotOpen("it is not a sealed value")
    return sealed[2 : 2 + sealed[1]].decode("ascii", errors="replace")


def place_of(*parts: str) -> bytes:
    """Return the place that parts name: each with its length, so that no two places look alike."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in map(str.encode, parts)])


def parse_keys(key: Secret | None, keys: Secret | None) -> KeyRing:
    """Return the ring of TOKEN_ENC_KEY (64 hex digits) or TOKEN_ENC_KEYS (kid:hex,…; the first is active).

    Raises WrongKeys.
    """
    if key and keys:
        raise WrongKeys("set either TOKEN_ENC_KEY or TOKEN_ENC_KEYS, not both")
    ring = {"default": parse_key("default", key.reveal())} if key else read_keys(keys)
    if not ring:
        raise WrongKeys("TOKEN_ENC_KEY or TOKEN_ENC_KEYS must be set")
    return KeyRing(ring, active=next(iter(ring)))


def read_keys(keys: Secret | None) -> dict[str, bytes]:
    """Return the keys of kid:hex,… by id, in their order; raise WrongKeys."""
    ring: dict[str, bytes] = {}
    for key_id, text in [split_entry(part) for part in keys.reveal().split(",")] if keys else []:
        if key_id in ring:
            raise WrongKeys(f"key id {key_id} is there twice")
        ring[key_id] = parse_key(key_id, text)
    if len(set(ring.values())) != len(ring):
        raise WrongKeys("two key ids hold the same key")
    return ring


def split_entry(entry: str) -> tuple[str, str]:
    """Return key id and key text of one kid:hex entry."""
    key_id, colon, text = entry.partition(":")
    if not colon or not KEY_ID.fullmatch(key_id):
        raise WrongKeys("each entry must be kid:hex with a kid of 1-32 letters, digits, - or _")
    return key_id, text


def parse_key(key_id: str, text: str) -> bytes:
    """Return the 32 bytes of one key."""
    if not KEY_HEX.fullmatch(text):
        raise WrongKeys(f"key {key_id} must be exactly 64 hexadecimal digits")
    key = bytes.fromhex(text)
    if len(set(key)) < 8:
        raise WrongKeys(f"key {key_id} is not random: make one with `openssl rand -hex 32`")
    return key
