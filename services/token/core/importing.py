"""Makes connections of tokens from elsewhere, so that an old list of them never does harm.

A new refresh token is stored first and refreshed then, by the same path as any other: its rotation is as safe as
theirs. Until the first refresh has told its account, a connection is called `import:` and the token's mark.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID, uuid4

import structlog

from libs.errors import ReauthRequired, TokhubError
from services.token.core.connections import Held
from services.token.core.provider import Providers, port_of
from services.token.core.refresh import Refresher
from services.token.core.shops import ShopLearner
from services.token.core.vault import SealedTokens, Vault
from services.token.domain.connection import UNTOLD, Connection, Need, Owner, Provider, Version
from services.token.domain.grant import Grant
from services.token.domain.import_entry import ImportEntry, fault_of, owner_for
from services.token.domain.import_results import Known, Outcome, Result, left_out, numbers_text, refused, result_of

AT_ONCE = 20
MOST_DUE = 100
FIRST = Version(epoch=1, generation=1)

log = structlog.get_logger()


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
