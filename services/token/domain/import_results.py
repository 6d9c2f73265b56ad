"""What became of tokens that were to be imported, in words that say what to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from services.token.domain.connection import Owner, Status
from services.token.domain.import_entry import ImportEntry, owner_for


class Outcome(StrEnum):
    """What became of an entry."""

    IMPORTED = "imported"
    ALREADY_KNOWN = "already_known"
    MERGED = "merged"
    PENDING = "pending"
    REFUSED = "refused"
    OWNER_TAKEN = "owner_taken"
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of an entry, and which connection has its account."""

    outcome: Outcome
    connection_id: UUID | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A connection that holds or held a token, how it stands, whose it is, and its shops' numbers by their ciphers."""

    connection_id: UUID
    status: Status
    owner: Owner | None
    numbers: Mapping[str, int] = field(repr=False)


def numbers_text(others: Mapping[int, int]) -> str:
    """Return what to know of shops that could not have the numbers they asked for."""
    return " ".join(f"Another shop has number {asked} here: this one has {given}." for asked, given in others.items())


def left_out(fault: str) -> Result:
    """Return what is said of an entry that was not stored."""
    if fault:
        return Result(outcome=Outcome.INVALID, message=fault)
    message = "This owner has or had a connection: name another owner, or disconnect and connect it anew."
    return Result(outcome=Outcome.OWNER_TAKEN, message=message)


def result_of(known: Known, entry: ImportEntry) -> Result:
    """Return what is said of a token that was stored before."""
    if known.status is Status.REAUTH_REQUIRED:
        return refused(known.connection_id)
    message = "Its connection was disconnected since then: let the owner connect the account again."
    if known.owner and known.status is not Status.DISCONNECTED:
        message = " ".join(differences(known, known.owner, entry))
    return Result(outcome=Outcome.ALREADY_KNOWN, connection_id=known.connection_id, message=message)


def differences(known: Known, owner: Owner, entry: ImportEntry) -> Iterator[str]:
    """Return what is not as an entry asks, because its token came with another one."""
    wanted = entry.owner or (owner_for(b"", entry) if entry.shop_number else owner)
    if wanted != owner:
        yield f"It has no connection of its own: {owner.kind} {owner.id} holds its tokens."
    number = known.numbers.get(entry.cipher, entry.shop_number)
    if entry.shop_number not in (0, number):
        yield f"Its shop has number {number} here, and keeps it."


def refused(connection_id: UUID) -> Result:
    """Return what is said of a connection whose token TikTok refuses."""
    message = "TikTok refuses this refresh token: let the owner connect the account again."
    return Result(outcome=Outcome.REFUSED, connection_id=connection_id, message=message)
