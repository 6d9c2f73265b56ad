"""The port to the sealed columns of all rows, for those who look at the vault as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.token.core.vault import SealedTokens
from services.token.domain.connection import Owner, Version


@dataclass(frozen=True, kw_only=True)
class SealedRow:
    """The sealed tokens of one connection, and where they were sealed for."""

    number: int
    connection_id: UUID
    owner: Owner
    version: Version
    tokens: SealedTokens


@dataclass(frozen=True, kw_only=True)
class Resealed:
    """A row as it was read, and its tokens sealed anew."""

    row: SealedRow
    tokens: SealedTokens


class SealedRowsPort(Protocol):
    """Rows in the order of their numbers. Every method raises StorageUnavailable when the database cannot be used."""

    async def page(self, after: int, size: int) -> Sequence[SealedRow]:
        """Return rows with a number above after."""
        ...

    async def count_outside(self, header: bytes) -> int:
        """Return how many rows have a field that does not begin with a header."""
        ...

    async def page_outside(self, header: bytes, after: int, size: int) -> Sequence[SealedRow]:
        """Return rows with a number above after and a field that does not begin with a header."""
        ...

    async def swap(self, resealed: Sequence[Resealed]) -> int:
        """Store tokens sealed anew where the row still holds what was read; return in how many it did."""
        ...
