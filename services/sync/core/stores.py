"""Stores are created, shown, listed, changed and archived."""

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from libs.clock import Clock
from libs.errors import StoreNotFound
from services.sync.core.standings import Standings, StoreAccounts
from services.sync.domain.connections import Standing
from services.sync.domain.stores import Store, StoreChanges, StoreChoice, StoreDraft
from services.sync.domain.subjects import Subject

USUAL_PAGE = 100


class StoreRows(Protocol):
    """Where stores are kept; archived ones are not there."""

    async def create(self, draft: StoreDraft) -> Store:
        """Add a store, or bring an archived one back; StoreExists when there is one."""
        ...

    async def get(self, store_code: str) -> Store | None:
        """Return a store."""
        ...

    async def page(self, *, after: str, limit: int, choice: StoreChoice) -> list[Store]:
        """Return stores of the choice with higher codes, lowest first."""
        ...

    async def codes(self) -> list[str]:
        """Return the codes of all stores."""
        ...

    async def change(self, store_code: str, changes: StoreChanges) -> Store | None:
        """Change a store and return it."""
        ...

    async def archive(self, store_code: str) -> bool:
        """Return whether there was such a store; it is gone then, and its history stays."""
        ...


class Accounts(StoreAccounts, Protocol):
    """The connected accounts of subjects; UpstreamUnavailable."""

    async def disconnect_all(self, subject: Subject) -> None:
        """End every live connection of the subject, at TikTok too."""
        ...


class Stores:
    """The use cases of StoreService."""

    def __init__(self, *, rows: StoreRows, accounts: Accounts, clock: Clock) -> None:
        self._rows = rows
        self._accounts = accounts
        self._standings = Standings(accounts=accounts, clock=clock)

    async def create(self, draft: StoreDraft) -> Store:
        """Return the new store; StoreExists."""
        return await self._rows.create(draft)

    async def get(self, store_code: str) -> Store:
        """Return the store; StoreNotFound."""
        store = await self._rows.get(store_code)
        if store is None:
            raise StoreNotFound
        return store

    async def page(self, *, after: str, limit: int, search: str = "", standing: Standing | None = None) -> list[Store]:
        """Return up to limit stores behind the code, 0 meaning the usual number; those that stand so, when given."""
        choice = await self._choice(search, standing)
        return await self._rows.page(after=after, limit=limit or USUAL_PAGE, choice=choice)

    async def counts(self) -> Mapping[Standing, int]:
        """Return how many stores stand so."""
        standings = await self._standings.get()
        return Counter(standings.get(code, Standing.NEVER_CONNECTED) for code in await self._rows.codes())

    async def change(self, store_code: str, changes: StoreChanges) -> Store:
        """Return the store as it is after the changes; StoreNotFound."""
        store = await self._rows.change(store_code, changes) if changes else await self._rows.get(store_code)
        if store is None:
            raise StoreNotFound
        return store

    async def delete(self, store_code: str) -> None:
        """Disconnect the store's accounts, then archive it; StoreNotFound.

        In this order, so that a call that failed half-way can be repeated.
        """
        await self.get(store_code)
        await self._accounts.disconnect_all(Subject.store(store_code))
        if not await self._rows.archive(store_code):
            raise StoreNotFound

    async def _choice(self, search: str, standing: Standing | None) -> StoreChoice:
        if standing is None:
            return StoreChoice(search=search)
        standings = await self._standings.get()
        if standing is Standing.NEVER_CONNECTED:
            return StoreChoice(search=search, without=frozenset(standings))
        return StoreChoice(search=search, only=frozenset(code for code, has in standings.items() if has is standing))
