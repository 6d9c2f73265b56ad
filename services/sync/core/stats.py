"""Snapshots and sync logs are read."""

from datetime import date
from typing import Protocol

from libs.errors import StoreNotFound
from services.sync.core.calendar import Calendar
from services.sync.domain.logs import SyncLog
from services.sync.domain.snapshots import UserSnapshot, VideoPosition, VideoSnapshot

USUAL_DAYS = 30
USUAL_VIDEOS = 1_000
USUAL_LOGS = 50


class KnownStores(Protocol):
    """Tells which stores there are."""

    async def exists(self, store_code: str) -> bool:
        """Return whether there is such a store."""
        ...


class SnapshotRows(Protocol):
    """Where snapshots are read from."""

    async def accounts(self, store_code: str, *, since: date) -> list[UserSnapshot]:
        """Return a store's account snapshots, newest day first."""
        ...

    async def videos(
        self, store_code: str, *, since: date, after: VideoPosition | None, limit: int
    ) -> list[VideoSnapshot]:
        """Return a store's video snapshots, newest day first, then by video."""
        ...


class LogRows(Protocol):
    """Where sync logs are read from."""

    async def newest(self, *, store_code: str | None, limit: int) -> list[SyncLog]:
        """Return the newest lines, of one store when given."""
        ...


class Stats:
    """The use cases of StatsService, and the sync log."""

    def __init__(self, *, stores: KnownStores, snapshots: SnapshotRows, logs: LogRows, calendar: Calendar) -> None:
        self._stores = stores
        self._snapshots = snapshots
        self._logs = logs
        self._calendar = calendar

    async def accounts(self, store_code: str, *, days: int) -> list[UserSnapshot]:
        """Return the account snapshots of the last days; StoreNotFound."""
        await self._require(store_code)
        return await self._snapshots.accounts(store_code, since=self._since(days))

    async def videos(
        self, store_code: str, *, days: int, after: VideoPosition | None, limit: int
    ) -> list[VideoSnapshot]:
        """Return a page of the video snapshots of the last days; StoreNotFound."""
        await self._require(store_code)
        return await self._snapshots.videos(
            store_code, since=self._since(days), after=after, limit=limit or USUAL_VIDEOS
        )

    async def logs(self, *, store_code: str | None, limit: int) -> list[SyncLog]:
        """Return the newest log lines, of one store when given; StoreNotFound."""
        if store_code is not None:
            await self._require(store_code)
        return await self._logs.newest(store_code=store_code, limit=limit or USUAL_LOGS)

    def _since(self, days: int) -> date:
        return self._calendar.first_of(days or USUAL_DAYS)

    async def _require(self, store_code: str) -> None:
        if not await self._stores.exists(store_code):
            raise StoreNotFound
