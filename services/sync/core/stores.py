"""Stores are created, shown and listed."""

from typing import Protocol

from libs.errors import StoreNotFound
from services.sync.domain.stores import Store, StoreDraft

USUAL_PAGE = 100


class StoreRows(Protocol):
    """Where stores are kept; archived ones are not there."""

    async def create(self, draft: StoreDraft) -> Store:
        """Add a store, or bring an archived one back; StoreExists when there is one."""
        ...

    async def get(self, store_code: str) -> Store | None:
        """Return a store."""
        ...

    async def page(self, *, after: str, limit: int) -> list[Store]:
        """Return stores with higher codes, lowest first."""
        ...


class Stores:
    """The use cases of StoreService."""

    def __init__(self, *, rows: StoreRows) -> None:
        self._rows = rows

    async def create(self, draft: StoreDraft) -> Store:
        """Return the new store; StoreExists."""
        return await self._rows.create(draft)

    async def get(self, store_code: str) -> Store:
        """Return the store; StoreNotFound."""
        store = await self._rows.get(store_code)
        if store is None:
            raise StoreNotFound
        return store

    async def page(self, *, after: str, limit: int) -> list[Store]:
        """Return up to limit stores behind the code, 0 meaning the usual number."""
        return await self._rows.page(after=after, limit=limit or USUAL_PAGE)
