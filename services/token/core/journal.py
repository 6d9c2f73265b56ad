"""The port to the journal: what TikTok has given is kept on this machine's disk before anybody is answered.

The database may be down, failed over or restored to yesterday; an entry says everything a row needs to be made whole.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog

from services.token.domain.connection import Connection, Owner, Provider, Version
from services.token.domain.grant import Grant

JOURNALS_LOOK = 5.0  # seconds between looks for rows that were put back

log = structlog.get_logger()


class JournalCorrupt(Exception):
    """A journal file is damaged in its middle, or sealed with a key that is not in the ring."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One version of one connection; without a grant it is a disconnect."""

    connection_id: UUID
    provider: Provider
    owner: Owner
    team_id: int
    account_id: str
    version: Version
    grant: Grant | None
    received_at: datetime

    @classmethod
    def of(cls, connection: Connection, version: Version, grant: Grant | None, received_at: datetime) -> "Entry":
        """Return the entry of a connection's version; received_at is by the database's clock, as rows are."""
        return cls(
            connection_id=connection.id,
            provider=connection.provider,
            owner=connection.owner,
            team_id=connection.team_id,
            account_id=connection.account_id,
            version=version,
            grant=grant,
            received_at=received_at,
        )


class JournalPort(Protocol):
    """Where entries are kept."""

    async def keep(self, entry: Entry) -> bool:
        """Return True once the entry survives the death of this process and machine, False when it is not kept."""
        ...

    async def ready(self) -> bool:
        """Return whether a refresh may begin: an entry could be kept now, or need not be; mend what can be mended."""
        ...


@dataclass(frozen=True, kw_only=True)
class JournalSize:
    """How large a journal is; pending records are not on the disk yet, dropped ones never will be."""

    bytes: int = 0
    records: int = 0
    pending: int = 0
    dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class UnreadableRecord:
    """A record of a journal that does not open, by its number in the file from 0 on."""

    connection_id: UUID
    number: int
    why: str


@dataclass(frozen=True, kw_only=True)
class VerifiedJournal:
    """How many records were looked at, and which of them do not open."""

    records: int = 0
    unreadable: Sequence[UnreadableRecord] = ()


class OwnJournal(JournalPort, Protocol):
    """All of this process's journal."""

    def taking_over(self) -> "AbstractAsyncContextManager[Inheritance]":
        """Take over what ended processes left while the context is open: one process at a time.

        It is this process's for good when the context ends well, and left for another try else. Raises JournalCorrupt.
        """
        ...

    async def entries(self) -> Sequence[Entry]:
        """Return the newest entry of each connection; raise JournalCorrupt."""
        ...

    async def compact(self) -> None:
        """Drop what is history; raise JournalCorrupt."""
        ...

    async def verify(self) -> VerifiedJournal:
        """Open every record; StorageUnavailable when they cannot be read."""
        ...

    @property
    def works(self) -> bool:
        """Whether it could be written when that was last tried."""
        ...

    def size(self) -> JournalSize:
        """Return how large it is; may be asked from any thread."""
        ...


@dataclass(frozen=True, kw_only=True)
class Inheritance:
    """What processes that died left behind: their newest entries, their names, and where they contradict each other."""

    entries: Sequence[Entry]
    dead: Sequence[str]
    contradictory: Sequence[Entry] = ()


class ReplayPort(Protocol):
    """Rows, as far as a replay concerns them."""

    async def behind(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries that restore may have something to do for, seldom many of them."""
        ...

    async def restore(self, entry: Entry) -> bool:
        """Bring a row that is older than the entry up to it; return whether it was."""
        ...

    async def are_put_back(self) -> bool:
        """Return whether rows wait for their newer tokens, having been replaced by older ones."""
        ...

    async def resolve_intents(self, dead: Sequence[str]) -> int:
        """Say of every token that a dead process presented that its answer is lost; return of how many."""
        ...


async def replay(entries: Iterable[Entry], rows: ReplayPort) -> int:
    """Bring every row up to its newest entry; return how many were behind.

    A row that is as new or newer is left alone, so replaying again, or on two replicas at once, changes nothing.
    """
    return sum([await rows.restore(entry) for entry in await rows.behind(newest(entries))])


def newest(entries: Iterable[Entry]) -> Sequence[Entry]:
    """Return the newest entry of each connection."""
    found: dict[UUID, Entry] = {}
    for entry in entries:
        known = found.get(entry.connection_id)
        if known is None or known.version < entry.version:
            found[entry.connection_id] = entry
    return list(found.values())


def contradictory(entries: Iterable[Entry]) -> Sequence[Entry]:
    """Return one entry of each version of a connection for which there are two that hold different tokens."""
    first: dict[tuple[UUID, Version], Entry] = {}
    found: dict[tuple[UUID, Version], Entry] = {}
    for entry in entries:
        key = (entry.connection_id, entry.version)
        known = first.setdefault(key, entry).grant
        if known and entry.grant and known.access_token != entry.grant.access_token:
            found[key] = entry
    return list(found.values())


async def settle(inheritance: Inheritance, rows: ReplayPort) -> None:
    """Give back what dead processes had been given, and name what they had asked for in vain."""
    behind = await replay(inheritance.entries, rows)
    lost = await rows.resolve_intents(inheritance.dead)
    if behind or lost:
        log.warning("journals of ended processes settled", restored=behind, without_answer=lost)
