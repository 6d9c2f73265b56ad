"""Opens every stored token and every record of this replica's journal, and tells which do not open.

It changes nothing, and leaves its begin and its result in the audit trail.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Protocol

from services.token.core.journal import OwnJournal, UnreadableRecord
from services.token.core.sealed_rows import SealedRow, SealedRowsPort
from services.token.core.vault import Vault

PAGE = 500  # rows


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A field that does not open."""

    row: SealedRow
    field: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was looked at, and what of it does not open."""

    rows: int = 0
    unreadable_rows: int = 0
    unreadable_tokens: int = 0
    journal_records: int = 0
    unreadable_journal_records: int = 0

    def counting(self, faults: int) -> "Verified":
        """Return the count with one more row, of which so many fields do not open."""
        return replace(
            self,
            rows=self.rows + 1,
            unreadable_rows=self.unreadable_rows + (faults > 0),
            unreadable_tokens=self.unreadable_tokens + faults,
        )


class VerificationsPort(Protocol):
    """The audit trail, as far as verifications concern it; a method that raises stops the verification."""

    async def begin(self) -> None:
        """Record that every token is about to be opened."""
        ...

    async def end(self, verified: Verified) -> None:
        """Record what was found."""
        ...


class Verification:
    """A look at the whole vault."""

    def __init__(self, *, rows: SealedRowsPort, vault: Vault, journal: OwnJournal, audit: VerificationsPort) -> None:
        self._audit = audit
        self._rows = rows
        self._vault = vault
        self._journal = journal

    async def verify(self) -> AsyncIterator[Unreadable | UnreadableRecord | Verified]:
        """Yield every field and record that does not open, then what was looked at."""
        await self._audit.begin()
        verified, after = Verified(), 0
        while page := await self._rows.page(after, PAGE):
            for row in page:
                faults = self._vault.faults(row.tokens, row.connection_id, row.version)
                for field, why in faults.items():
                    yield Unreadable(row=row, field=field, why=why)
                verified = verified.counting(len(faults))
            after = page[-1].number
        journal = await self._journal.verify()
        for record in journal.unreadable:
            yield record
        verified = replace(
            verified, journal_records=journal.records, unreadable_journal_records=len(journal.unreadable)
        )
        await self._audit.end(verified)
        yield verified
