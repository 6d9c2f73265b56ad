"""Counts what each key has sealed, since the last time it was written down and in all.

AES-GCM with random nonces is safe for 2^32 values a key (NIST SP 800-38D, 8.3); the limits here leave room below that.
"""

from collections import Counter
from collections.abc import Mapping

WARN_AT = 2**31
REFUSE_AT = 3_800_000_000


class KeyUsage:
    """How often each key has sealed."""

    def __init__(self) -> None:
        self._unwritten: Counter[str] = Counter()
        self._written: dict[str, int] = {}

    def count(self, key_id: str) -> None:
        """Count one value sealed."""
        self._unwritten[key_id] += 1

    def take(self) -> dict[str, int]:
        """Return what was counted since the last take, and begin anew."""
        taken, self._unwritten = self._unwritten, Counter()
        return dict(taken)

    def give_back(self, taken: Mapping[str, int]) -> None:
        """Count again what could not be written down."""
        self._unwritten.update(taken)

    def learn(self, written: Mapping[str, int]) -> None:
        """Take over the sums that all replicas have written down."""
        self._written = dict(written)

    def total(self, key_id: str) -> int:
        """Return how often a key has sealed, as far as is known here."""
        return self._written.get(key_id, 0) + self._unwritten[key_id]
