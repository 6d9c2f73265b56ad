"""Numbers that look random and are the same for the same path, on every machine and in every run."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A short supply of bytes that depends on nothing but the path."""

    def __init__(self, *path: int | str) -> None:
        self._path = "/".join(map(str, path)).encode()
        self._block = 0
        self._left = b""

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        while len(self._left) < size:
            self._left += blake2b(self._path, salt=self._block.to_bytes(16, "big")).digest()
            self._block += 1
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit` - 1."""
        return int.from_bytes(self.take(4), "big") % limit

    def between(self, low: int, high: int) -> int:
        """Return a number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of the choices."""
        return choices[self.below(len(choices))]
