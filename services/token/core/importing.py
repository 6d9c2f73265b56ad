"""Takes over tokens from elsewhere, so that an old list of them never does harm.

A new refresh token is stored first and refreshed then, by the same path as any other: its rotation is as safe as
theirs. Until the first refresh has told its account, a connection is called `import:` and the token's mark.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol
from uuid import UUID, uuid4

import structlog

from libs.errors import ReauthRequired, TokhubError
from libs.secret import Secret
from services.token.core.connections import Held
from services.token.core.provider import Providers, port_of
from services.token.core.refresh import Refresher
from services.token.core.shops import ShopLearner
from services.token.core.vault import SealedTokens, Vault
from services.token.domain.connection import UNTOLD, Connection, Need, Owner, OwnerKind, Provider, Status, Version
from services.token.domain.grant import Grant

AT_ONCE = 20
MOST_DUE = 100
FIRST = Version(epoch=1, generation=1)
TOKEN = re.compile(r"[!-~]{1,4096}")
OPTIONAL_TOKEN = re.compile(r"[!-~]{0,4096}")
CIPHER = re.compile(r"[!-~]{0,255}")
SHOP_ID = re.compile(r"[A-Za-z0-9_-]{0,64}")
OWNER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
LARGEST_NUMBER = 1_000_000
LARGEST_TEAM = 1 << 53
LARGEST_TIME = 1 << 35

log = structlog.get_logger()


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
class ImportEntry:
    """One account's tokens; a shop_number of 0 and an empty shop_id are none, connected_at is in Unix seconds or 0."""

    provider: Provider
    access_token: Secret
    refresh_token: Secret
    cipher: str = field(repr=False)
    name: str
    team_id: int
    shop_number: int
    shop_id: str
    owner: Owner | None
    connected_at: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of an entry, and which connection has its account."""

    outcome: Outcome
    connection_id: UUID | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A connection to be made of the entries that share a refresh token."""

    connection_id: UUID
    owner: Owner
    entries: Sequence[ImportEntry]
    sealed: SealedTokens = field(repr=False)

    @property
    def first(self) -> ImportEntry:
        """Return the entry that stands for all of them."""
        return self.entries[0]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A connection as it was imported, with the only shop its owner asked for, if any, and other numbers than asked."""

    connection: Connection
    wanted_shop: str
    other_numbers: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Known:
    """A connection that holds or held a token, how it stands, whose it is, and its shops' numbers by their ciphers."""

    connection_id: UUID
    status: Status
    owner: Owner | None
    numbers: Mapping[str, int] = field(repr=False)


class ImportsPort(Protocol):
    """Rows of imported connections. Methods raise StorageUnavailable."""

    async def known(self, marks: Sequence[bytes]) -> dict[bytes, Known]:
        """Return the connections that hold or held tokens of these marks."""
        ...

    async def insert(self, candidates: Sequence[Candidate]) -> Sequence[Imported]:
        """Store those whose token is new and whose owner is free."""
        ...

    async def settle(self, connection_id: UUID) -> UUID | None:
        """Return the connection of the account: itself, the live one it gives way to, or None while that is in doubt.

        A connection that needs its owner gives way to the import.
        """
        ...

    async def due(self, providers: Sequence[Provider], most: int) -> Sequence[Imported]:
        """Return imported connections of these providers whose account is not known or not settled."""
        ...


class Importing:
    """Imports entries, each by itself, of providers it has a port to; without a learner no shops are learnt."""

    def __init__(
        self,
        *,
        rows: ImportsPort,
        providers: Providers,
        refresher: Refresher,
        learner: ShopLearner | None,
        vault: Vault,
    ) -> None:
        self._rows = rows
        self._providers = providers
        self._refresher = refresher
        self._learner = learner
        self._vault = vault
        self._room = asyncio.Semaphore(AT_ONCE)

    async def take(self, entries: Sequence[ImportEntry]) -> Sequence[Result]:
        """Return what became of each entry, in order; a bad one stops no other. Raises ServerMisconfig."""
        for entry in entries:
            port_of(self._providers, entry.provider)
        faults = [fault_of(entry) for entry in entries]
        marks = [
            b"" if fault else self._vault.mark(one.refresh_token) for one, fault in zip(entries, faults, strict=True)
        ]
        marked = [(mark, one) for mark, one in zip(marks, entries, strict=True) if mark]
        known = await self._known(marked)
        results = await self._take_new([(mark, one) for mark, one in marked if mark not in known])
        # Of two imports of one token at once, the other one may have been faster.
        seen = known.keys() | results.keys()
        known |= await self._known([(mark, one) for mark, one in marked if mark not in seen])
        return [
            results.get(mark) or (result_of(known[mark], entry) if mark in known else left_out(fault))
            for mark, entry, fault in zip(marks, entries, faults, strict=True)
        ]

    async def finish_due(self) -> None:
        """Go on with imports that TikTok could not be asked about."""
        due = await self._rows.due(list(self._providers), MOST_DUE)
        await asyncio.gather(*(self._finish(imported) for imported in due))

    async def _take_new(self, marked: Sequence[tuple[bytes, ImportEntry]]) -> dict[bytes, Result]:
        """Return what became of tokens that were not known, but for those that could not be stored."""
        groups: dict[bytes, list[ImportEntry]] = {}
        for mark, entry in marked:
            groups.setdefault(mark, []).append(entry)
        candidates = {mark: self._candidate(mark, group) for mark, group in groups.items()}
        inserted = {one.connection.id: one for one in await self._rows.insert(list(candidates.values()))}
        taken = {mark: inserted[one.connection_id] for mark, one in candidates.items() if one.connection_id in inserted}
        finished = await asyncio.gather(*(self._finish(imported) for imported in taken.values()))
        return dict(zip(taken, finished, strict=True))

    async def _known(self, marked: Sequence[tuple[bytes, ImportEntry]]) -> dict[bytes, Known]:
        """Return what is known of tokens that were ever stored, marked with whichever key, by their mark of now."""
        spelled = {mark: self._vault.marks(entry.refresh_token) for mark, entry in marked}
        found = await self._rows.known([one for marks in spelled.values() for one in marks]) if spelled else {}
        return {mark: found[one] for mark, marks in spelled.items() for one in marks if one in found}

    def _candidate(self, mark: bytes, entries: Sequence[ImportEntry]) -> Candidate:
        connection_id = uuid4()
        grant = Grant(
            provider=entries[0].provider,
            account_id=f"{UNTOLD}{mark.hex()[:32]}",
            access_token=entries[0].access_token,
            access_seconds=0,
            access_given=0,
            refresh_token=entries[0].refresh_token,
            refresh_seconds=None,
            refresh_given=None,
            scopes=(),
        )
        owner = next((one.owner for one in entries if one.owner), None) or owner_for(mark, entries[0])
        sealed = replace(self._vault.seal(grant, connection_id, FIRST), mark=mark)
        return Candidate(connection_id=connection_id, owner=owner, entries=entries, sealed=sealed)

    async def _finish(self, imported: Imported) -> Result:
        """Refresh an imported connection once, learn its shops and settle whose it is."""
        connection, numbers = imported.connection, numbers_text(imported.other_numbers)
        async with self._room:
            try:
                held = await self._refreshed(connection)
                settled = await self._rows.settle(connection.id)
                if settled is None:
                    message = "Its account's connection here is in doubt: its next refresh decides which one is kept."
                    return Result(outcome=Outcome.PENDING, connection_id=connection.id, message=message)
                if settled != connection.id:
                    message = f"This account was connected already: its connection keeps its tokens. {numbers}"
                    return Result(outcome=Outcome.MERGED, connection_id=settled, message=message.strip())
                if self._learner and connection.provider is Provider.TIKTOK_SHOP:
                    await self._learner.learn(held, imported.wanted_shop)
            except ReauthRequired:
                return refused(connection.id)
            except TokhubError as error:
                log.warning("an import is finished later", connection=str(connection.id), why=error.reason.value)
                return Result(outcome=Outcome.PENDING, connection_id=connection.id, message=error.message)
        return Result(outcome=Outcome.IMPORTED, connection_id=connection.id, message=numbers)

    async def _refreshed(self, connection: Connection) -> Held:
        is_told = not connection.account_id.startswith(UNTOLD)
        spent = None if is_told else connection.version.generation
        return await self._refresher.refresh(connection, Need(min_ttl=0, spent_generation=spent))


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


def fault_of(entry: ImportEntry) -> str:
    """Return what is wrong with an entry, for people; empty when nothing is."""
    if not TOKEN.fullmatch(entry.refresh_token.reveal()):
        return "refresh_token is missing or is no token."
    if not OPTIONAL_TOKEN.fullmatch(entry.access_token.reveal()):
        return "access_token is no token."
    if len(entry.name) > 255 or "\x00" in entry.name:
        return "name is longer than 255 characters or holds a NUL."
    if not (0 <= entry.team_id <= LARGEST_TEAM and 0 <= entry.connected_at <= LARGEST_TIME):
        return "team_id or connect_seconds is out of range."
    return fault_of_shop(entry) or fault_of_owner(entry)


def fault_of_shop(entry: ImportEntry) -> str:
    """Return what is wrong with what an entry says of its shop."""
    if not CIPHER.fullmatch(entry.cipher):
        return "shop_cipher is no cipher."
    if not SHOP_ID.fullmatch(entry.shop_id):
        return "shop_id is no shop's id."
    if not 0 <= entry.shop_number <= LARGEST_NUMBER:
        return "shop_number is out of range."
    has_shop = entry.cipher or entry.shop_id or entry.shop_number
    return "a Login Kit account has no shop." if has_shop and entry.provider is Provider.LOGIN_KIT else ""


def fault_of_owner(entry: ImportEntry) -> str:
    """Return what is wrong with an entry's owner."""
    if entry.owner is None:
        return "owner is missing." if entry.provider is Provider.LOGIN_KIT else ""
    return "" if OWNER_ID.fullmatch(entry.owner.id) else "owner.id must be 1 to 64 of A-Za-z0-9_-."


def owner_for(mark: bytes, entry: ImportEntry) -> Owner:
    """Return the owner of an entry that names none: a store called by the shop's number, else by the token's mark."""
    return Owner(kind=OwnerKind.STORE, id=f"tiktok-shop-{entry.shop_number or mark.hex()[:12]}")
