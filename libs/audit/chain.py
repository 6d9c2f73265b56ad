"""The chain of an audit trail: every row is sealed with the one before, so that none changes, goes or comes unseen.

A seal is an HMAC-SHA256 of the seal before and all that the row says, under a key that the database does not hold.
"""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

# What the first row of a chain follows.
GENESIS = bytes(32)
CHECKPOINT = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a row says; request is JSON as the database spells it."""

    at: datetime
    call: UUID
    actor: str
    method: str
    request: str
    request_id: str
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Seal:
    """previous is the mac of the row before."""

    key_id: str
    previous: bytes
    mac: bytes


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the chain; sequences have no gaps."""

    id: int
    sequence: int
    entry: Entry
    seal: Seal


@dataclass(frozen=True)
class Checkpoint:
    """A row by its place and its mac, to be kept where the database cannot reach."""

    sequence: int
    mac: bytes

    def __str__(self) -> str:
        return f"{self.sequence}:{self.mac.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read what str() gives; raise ValueError."""
        found = CHECKPOINT.fullmatch(text)
        if not found:
            raise ValueError("a checkpoint is a number, a colon and 64 hexadecimal digits")
        return cls(int(found[1]), bytes.fromhex(found[2]))


class ChainKeys:
    """The keys of one trail by id, the first of which seals; nothing of them shows in a repr."""

    def __init__(self, keys: Mapping[str, bytes], trail: str) -> None:
        purpose = f"tokhub/audit/{trail}/v1".encode()
        self._keys = {key_id: hmac.digest(key, purpose, "sha256") for key_id, key in keys.items()}

    def seal(self, entry: Entry, previous: bytes) -> Seal:
        """Return the seal of a row that follows another."""
        key_id = next(iter(self._keys))
        return Seal(key_id=key_id, previous=previous, mac=self._mac(key_id, entry, previous))

    def know(self, row: Row) -> bool:
        """Return whether the key that a row names is here."""
        return row.seal.key_id in self._keys

    def made(self, row: Row) -> bool:
        """Return whether a row says what was sealed, behind what it was sealed behind."""
        seal = row.seal
        return self.know(row) and hmac.compare_digest(self._mac(seal.key_id, row.entry, seal.previous), seal.mac)

    def _mac(self, key_id: str, entry: Entry, previous: bytes) -> bytes:
        return hmac.digest(self._keys[key_id], previous + spelled(entry), "sha256")


def spelled(entry: Entry) -> bytes:
    """Return what a row says as bytes that no other row spells."""
    at = entry.at.astimezone(UTC).isoformat()
    said = [at, str(entry.call), entry.actor, entry.method, entry.request, entry.request_id, entry.outcome]
    return json.dumps(said).encode()
