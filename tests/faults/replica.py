"""A token service with fail points: `python -m tests.faults.replica`, composed for tests only.

MIGRATIONS_DIR makes it another release.
"""

import os
from pathlib import Path
from typing import Any

from libs.database.pool import borrow
from services.token import __main__ as service
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.journal.journal import FileJournal
from services.token.adapters.login_kit import LoginKitProvider
from services.token.adapters.provider_events import PostgresProviderEvents
from services.token.adapters.restoring import PostgresReplay
from services.token.adapters.sealed_rows import PostgresSealedRows
from services.token.adapters.tiktok_shop import TiktokShopProvider
from tests.faults.fail_points import FailPoints, MovedClock, compose

POINTS = (
    "after_lease",
    "before_send",
    "answered",
    "journaled",
    "before_commit",
    "after_commit",
    "in_batch",
    "in_replay",
    "with_connection",
)

FAIL = FailPoints.read(os.environ, POINTS)


class FailingConnections(PostgresConnections):
    """Rows, with a point after a lease and around the save."""

    async def claim(self, *args: Any, **named: Any) -> Any:
        lease = await super().claim(*args, **named)
        if lease:
            await FAIL.at("after_lease")
        return lease

    async def save(self, *args: Any) -> bool:
        await FAIL.at("before_commit")
        saved = await super().save(*args)
        await FAIL.at("after_commit")
        return saved


class FailingJournal(FileJournal):
    """A journal, with a point after an entry is on the disk."""

    async def keep(self, entry: Any) -> bool:
        kept = await super().keep(entry)
        await FAIL.at("journaled")
        return kept


class FailingLoginKit(LoginKitProvider):
    """Login Kit, with a point before a refresh is sent and after its answer."""

    async def refresh(self, refresh_token: Any, /) -> Any:
        await FAIL.at("before_send")
        grant = await super().refresh(refresh_token)
        await FAIL.at("answered")
        return grant


class FailingShop(TiktokShopProvider):
    """TikTok Shop, with the same points."""

    async def refresh(self, refresh_token: Any, /) -> Any:
        await FAIL.at("before_send")
        grant = await super().refresh(refresh_token)
        await FAIL.at("answered")
        return grant


class FailingRows(PostgresSealedRows):
    """Sealed rows, with a point after a batch of a key rotation."""

    async def swap(self, *args: Any) -> Any:
        swapped = await super().swap(*args)
        await FAIL.at("in_batch")
        return swapped


class FailingReplay(PostgresReplay):
    """A replay, with a point before each row."""

    async def restore(self, entry: Any) -> bool:
        await FAIL.at("in_replay")
        return await super().restore(entry)


class FailingEvents(PostgresProviderEvents):
    """Webhooks, with a point that has a connection of the pool in its hands."""

    async def apply(self, event: Any) -> Any:
        async with borrow(self._pool):
            await FAIL.at("with_connection")
        return await super().apply(event)


REPLACED = {
    "PostgresConnections": FailingConnections,
    "FileJournal": FailingJournal,
    "LoginKitProvider": FailingLoginKit,
    "TiktokShopProvider": FailingShop,
    "PostgresSealedRows": FailingRows,
    "PostgresReplay": FailingReplay,
    "PostgresProviderEvents": FailingEvents,
    "SystemClock": MovedClock,
}


if __name__ == "__main__":
    compose("services.token", REPLACED)
    service.MIGRATIONS = Path(os.environ.get("MIGRATIONS_DIR", service.MIGRATIONS))
    service.main()
