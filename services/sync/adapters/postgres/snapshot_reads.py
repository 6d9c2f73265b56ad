"""The daily snapshots, read."""

from dataclasses import fields
from datetime import date

from services.sync.adapters.postgres.database import Database
from services.sync.domain.snapshots import AccountMetrics, UserSnapshot, VideoPosition, VideoSnapshot
from services.sync.domain.subjects import Subject


def columns_of(snapshot: type) -> str:
    """Return the columns that a snapshot is made of."""
    return ", ".join(field.name for field in fields(snapshot))


ACCOUNTS = f"""
SELECT {columns_of(UserSnapshot)} FROM tiktok_user_daily
WHERE subject_kind = 'store' AND subject_id = $1 AND snapshot_date >= $2
ORDER BY snapshot_date DESC
"""

# Accounts were not noted at first.
NEWEST = f"""
SELECT {columns_of(AccountMetrics)} FROM tiktok_user_daily
WHERE subject_kind = $1 AND subject_id = $2 AND (account_id <> $3) IS NOT TRUE
ORDER BY snapshot_date DESC LIMIT 1
"""

VIDEOS = f"""
SELECT {columns_of(VideoSnapshot)} FROM tiktok_video_daily
WHERE subject_kind = 'store' AND subject_id = $1 AND snapshot_date >= $2 AND snapshot_date <= $3
  AND (snapshot_date < $3 OR video_id > $4)
ORDER BY snapshot_date DESC, video_id LIMIT $5
"""

# Before the first row: every day is older and every id is higher.
START = VideoPosition(date.max, "")


class SnapshotReads:
    """Reads snapshots of stores, and the newest of any subject."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accounts(self, store_code: str, *, since: date) -> list[UserSnapshot]:
        """Return a store's account snapshots, newest day first."""
        async with self._database.borrow() as connection:
            rows = await connection.fetch(ACCOUNTS, store_code, since)
        return [UserSnapshot(**row) for row in rows]

    async def newest(self, subject: Subject, account_id: str) -> AccountMetrics | None:
        """Return a subject's newest snapshot of this account, or of one that was not noted."""
        async with self._database.borrow() as connection:
            row = await connection.fetchrow(NEWEST, subject.kind.value, subject.id, account_id)
        return AccountMetrics(**row) if row else None

    async def videos(
        self, store_code: str, *, since: date, after: VideoPosition | None, limit: int
    ) -> list[VideoSnapshot]:
        """Return a store's video snapshots behind the position, newest day first, then by video."""
        position = after or START
        async with self._database.borrow() as connection:
            rows = await connection.fetch(VIDEOS, store_code, since, position.snapshot_date, position.video_id, limit)
        return [VideoSnapshot(**row) for row in rows]
