"""The operators' keys: kept as digests, and compared without telling how close a wrong one was."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from libs.settings import parts_of

MIN_KEY_LENGTH = 32
NAMED_KEY = "name:role:key"
# Names travel to the services as gRPC metadata, which takes nothing but ASCII.
NAME = re.compile(r"[\w-]{1,64}", re.ASCII)


class Role(StrEnum):
    """What a key may do."""

    ADMIN = "admin"
    READ = "read"


@dataclass(frozen=True, kw_only=True)
class AdminKey:
    """A key by its name and SHA-256; the key itself is not kept."""

    name: str
    role: Role
    digest: bytes


class WrongKey(ValueError):
    """A key in the settings cannot be used; the text never repeats it."""


def digest(key: str) -> bytes:
    """Return the SHA-256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def admin_key(name: str, role: str, key: str) -> AdminKey:
    """Return a key from its parts, or raise WrongKey."""
    if not NAME.fullmatch(name):
        raise WrongKey(f"a key needs a name of 1-64 ASCII letters, digits, _ and -: {NAMED_KEY}")
    if role not in set(Role):
        raise WrongKey(f"the role of key {shown(name)} must be admin or read")
    if len(key) < MIN_KEY_LENGTH:
        raise WrongKey(f"key {shown(name)} must have at least {MIN_KEY_LENGTH} characters")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise WrongKey(f"key {shown(name)} must be printable ASCII without spaces")
    return AdminKey(name=name, role=Role(role), digest=digest(key))


def shown(name: str) -> str:
    """Return a name as errors may repeat it: one as long as a key may be a key in the wrong place."""
    return name if len(name) < MIN_KEY_LENGTH else "with the long name"


def parse_keys(text: str) -> tuple[AdminKey, ...]:
    """Return the keys of "name:role:key,…", or raise WrongKey."""
    entries = [entry.split(":", 2) for entry in parts_of(text)]
    if any(len(entry) != len(NAMED_KEY.split(":")) for entry in entries):
        raise WrongKey(f"every key must be {NAMED_KEY}")
    keys = tuple(admin_key(*entry) for entry in entries)
    if len({key.name for key in keys}) < len(keys):
        raise WrongKey("two keys have the same name")
    if len({key.digest for key in keys}) < len(keys):
        raise WrongKey("two keys are the same")
    return keys


def find_key(keys: Sequence[AdminKey], presented: str) -> AdminKey | None:
    """Return the key that was presented; the time it takes does not depend on which one, or on how close it was."""
    offered = digest(presented)
    found = [key for key in keys if hmac.compare_digest(key.digest, offered)]
    return found[0] if found else None
