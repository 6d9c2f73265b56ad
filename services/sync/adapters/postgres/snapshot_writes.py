"""Snapshots are written in the transaction that checks the fence: a worker that lost its item writes nothing."""

from dataclasses import replace
from datetime import datetime

from libs.database.pool import Borrowed
from libs.tiktok.display_objects import Account, Video
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.item_key import WHERE_OWN, key_values
from services.sync.domain.items import Claim, LostItem

# The row lock keeps other claims out until the commit.
HOLD = f"SELECT 1 FROM sync_items WHERE {WHERE_OWN} FOR UPDATE"

SAVE_ACCOUNT = """
INSERT INTO tiktok_user_daily AS held (
    subject_kind, subject_id, snapshot_date, run_id, fetched_at,
    follower_count, following_count, likes_count, video_count, display_name, avatar_url, username, account_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (subject_kind, subject_id, snapshot_date) DO UPDATE SET
    run_id = excluded.run_id, fetched_at = excluded.fetched_at,
    follower_count = excluded.follower_count, following_count = excluded.following_count,
    likes_count = excluded.likes_count, video_count = excluded.video_count,
    display_name = excluded.display_name, avatar_url = excluded.avatar_url, username = excluded.username,
    account_id = excluded.account_id
WHERE excluded.fetched_at >= held.fetched_at
"""

# Returns how many of the page's videos this run had stored before: they are not counted twice.
SAVE_VIDEOS = """
WITH page AS (
    SELECT * FROM unnest($6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[],
        $12::timestamptz[])
        AS page (video_id, view_count, like_count, comment_count, share_count, description, posted_at)
), repeated AS (
    SELECT count(*) AS videos FROM tiktok_video_daily held JOIN page USING (video_id)
    WHERE held.subject_kind = $1 AND held.subject_id = $2 AND held.snapshot_date = $3 AND held.run_id = $4
), stored AS (
    INSERT INTO tiktok_video_daily AS held (
        subject_kind, subject_id, snapshot_date, run_id, fetched_at,
        video_id, view_count, like_count, comment_count, share_count, description, posted_at)
    SELECT $1, $2, $3, $4, $5::timestamptz, page.* FROM page
    ON CONFLICT (subject_kind, subject_id, snapshot_date, video_id) DO UPDATE SET
        run_id = excluded.run_id, fetched_at = excluded.fetched_at,
        view_count = excluded.view_count, like_count = excluded.like_count,
        comment_count = excluded.comment_count, share_count = excluded.share_count,
        description = excluded.description, posted_at = excluded.posted_at
    WHERE excluded.fetched_at >= held.fetched_at
)
SELECT videos FROM repeated
"""

# A page is progress: the attempts before it count no more.
ADVANCE = f"""
UPDATE sync_items SET cursor = $6, pages = pages + 1, records = $7, attempt = 1, updated_at = clock_timestamp()
WHERE {WHERE_OWN}
"""


class SnapshotWrites:
    """Writes snapshots; LostItem, and nothing written, when another worker has claimed the item."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save_account(self, claim: Claim, account: Account, fetched_at: datetime) -> None:
        """Store the account of the claim's day, unless a later reading is there."""
        async with self._database.transaction() as connection:
            await hold(connection, claim)
            await connection.execute(
                SAVE_ACCOUNT,
                *day_key(claim, fetched_at),
                account.follower_count,
                account.following_count,
                account.likes_count,
                account.video_count,
                account.display_name,
                account.avatar_url,
                account.username,
                account.open_id,
            )

    async def save_videos(
        self, claim: Claim, videos: tuple[Video, ...], *, cursor: int | None, fetched_at: datetime
    ) -> Claim:
        """Store a page and the cursor of the next one; return the claim as it stands then."""
        async with self._database.transaction() as connection:
            await hold(connection, claim)
            repeated = await connection.fetchval(SAVE_VIDEOS, *day_key(claim, fetched_at), *columns(videos))
            records = claim.records + len(videos) - repeated
            await connection.execute(ADVANCE, *key_values(claim.key), claim.fence, cursor, records)
        return replace(claim, cursor=cursor, pages=claim.pages + 1, records=records, attempt=1)


async def hold(connection: Borrowed, claim: Claim) -> None:
    """Lock the item until the commit; LostItem when the fence has moved on."""
    if await connection.fetchval(HOLD, *key_values(claim.key), claim.fence) is None:
        raise LostItem


def day_key(claim: Claim, fetched_at: datetime) -> tuple[object, ...]:
    """Return subject, day, run and time of fetching, the first five parameters of a snapshot."""
    subject = claim.key.subject
    return subject.kind.value, subject.id, claim.snapshot_date, claim.key.run_id, fetched_at


def columns(videos: tuple[Video, ...]) -> tuple[list[object], ...]:
    """Return the videos by column, sorted by id: two writers that meet lock rows in the same order."""
    ordered = sorted(videos, key=lambda video: video.id)
    return (
        [video.id for video in ordered],
        [video.view_count for video in ordered],
        [video.like_count for video in ordered],
        [video.comment_count for video in ordered],
        [video.share_count for video in ordered],
        [video.description for video in ordered],
        [video.posted_at for video in ordered],
    )
