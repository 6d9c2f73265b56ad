"""The table stores, read together with the newest snapshots."""

from collections.abc import Collection

import asyncpg

from libs.errors import StoreExists
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.sums import bounded_sum
from services.sync.domain.stores import LatestUserStats, LatestVideoStats, Store, StoreChanges, StoreChoice, StoreDraft

CREATE = """
INSERT INTO stores (store_code, store_name, pic_name, pic_contact, team_id)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (store_code) DO UPDATE SET
    store_name = excluded.store_name, pic_name = excluded.pic_name, pic_contact = excluded.pic_contact,
    team_id = excluded.team_id, archived_at = NULL
WHERE stores.archived_at IS NOT NULL
RETURNING store_code
"""

READ = f"""
SELECT s.*, u.follower_count, u.likes_count, u.video_count, u.snapshot_date AS user_day,
       v.snapshot_date AS video_day, v.total_videos, v.total_views
FROM stores s
LEFT JOIN LATERAL (
    SELECT snapshot_date, follower_count, likes_count, video_count FROM tiktok_user_daily d
    WHERE d.subject_kind = 'store' AND d.subject_id = s.store_code
    ORDER BY snapshot_date DESC LIMIT 1
) u ON true
LEFT JOIN LATERAL (
    SELECT d.snapshot_date, count(*) AS total_videos, coalesce({bounded_sum("d.view_count")}, 0) AS total_views
    FROM tiktok_video_daily d
    WHERE d.subject_kind = 'store' AND d.subject_id = s.store_code AND d.snapshot_date = (
        SELECT snapshot_date FROM tiktok_video_daily
        WHERE subject_kind = 'store' AND subject_id = s.store_code
        ORDER BY snapshot_date DESC LIMIT 1)
    GROUP BY d.snapshot_date
) v ON true
WHERE s.archived_at IS NULL
"""

PAGE = f"""{READ}
    AND s.store_code > $1
    AND strpos(lower(concat_ws(E'\\n', s.store_code, s.store_name, s.pic_name)), lower($3)) > 0
    AND ($4::text[] IS NULL OR s.store_code = ANY($4)) AND s.store_code <> ALL($5::text[])
ORDER BY s.store_code LIMIT $2
"""


class StoreRows:
    """Keeps stores."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, draft: StoreDraft) -> Store:
        """Add a store, or bring an archived one back; StoreExists."""
        async with self._database.transaction() as connection:
            created = await connection.fetchval(
                CREATE, draft.store_code, draft.store_name, draft.pic_name, draft.pic_contact, draft.team_id
            )
            if created is None:
                raise StoreExists
            row = await connection.fetchrow(f"{READ} AND s.store_code = $1", draft.store_code)
        if row is None:
            raise StoreExists
        return to_store(row)

    async def get(self, store_code: str) -> Store | None:
        """Return a store that is not archived."""
        async with self._database.borrow() as connection:
            row = await connection.fetchrow(f"{READ} AND s.store_code = $1", store_code)
        return to_store(row) if row else None

    async def page(self, *, after: str, limit: int, choice: StoreChoice) -> list[Store]:
        """Return stores of the choice with higher codes, lowest first."""
        only = None if choice.only is None else list(choice.only)
        async with self._database.borrow() as connection:
            rows = await connection.fetch(PAGE, after, limit, choice.search, only, list(choice.without))
        return [to_store(row) for row in rows]

    async def codes(self) -> list[str]:
        """Return the codes of all stores that are not archived."""
        async with self._database.borrow() as connection:
            rows = await connection.fetch("SELECT store_code FROM stores WHERE archived_at IS NULL")
        return [row["store_code"] for row in rows]

    async def change(self, store_code: str, changes: StoreChanges) -> Store | None:
        """Change a store that is not archived and return it; changes must not be empty."""
        columns = ", ".join(f"{field} = ${number}" for number, field in enumerate(changes, start=2))
        async with self._database.borrow() as connection:
            await connection.execute(
                f"UPDATE stores SET {columns} WHERE store_code = $1 AND archived_at IS NULL",
                store_code,
                *changes.values(),
            )
        return await self.get(store_code)

    async def archive(self, store_code: str) -> bool:
        """Archive a store; return whether there was one."""
        async with self._database.borrow() as connection:
            done = await connection.execute(
                "UPDATE stores SET archived_at = now() WHERE store_code = $1 AND archived_at IS NULL", store_code
            )
        return done == "UPDATE 1"

    async def exists(self, store_code: str) -> bool:
        """Return whether there is such a store."""
        return bool(await self.existing([store_code]))

    async def existing(self, store_codes: Collection[str]) -> frozenset[str]:
        """Return those of the codes that are stores."""
        async with self._database.borrow() as connection:
            rows = await connection.fetch(
                "SELECT store_code FROM stores WHERE archived_at IS NULL AND store_code = ANY($1::text[])",
                list(store_codes),
            )
        return frozenset(row["store_code"] for row in rows)


def to_store(row: asyncpg.Record) -> Store:
    """Return the store in a row of READ."""
    return Store(
        store_code=row["store_code"],
        store_name=row["store_name"],
        pic_name=row["pic_name"],
        pic_contact=row["pic_contact"],
        team_id=row["team_id"],
        created_at=row["created_at"],
        last_sync_at=row["last_sync_at"],
        user_stats=to_user_stats(row) if row["user_day"] else None,
        video_stats=to_video_stats(row) if row["video_day"] else None,
    )


def to_user_stats(row: asyncpg.Record) -> LatestUserStats:
    """Return the account's newest figures."""
    return LatestUserStats(
        follower_count=row["follower_count"], likes_count=row["likes_count"], video_count=row["video_count"]
    )


def to_video_stats(row: asyncpg.Record) -> LatestVideoStats:
    """Return the sums of the newest day with videos."""
    return LatestVideoStats(total_videos=row["total_videos"], total_views=row["total_views"])
