"""Snapshots are written in the statement that checks the fence: a worker that lost its item writes nothing.

What several items have to store at the same moment is stored together, each under its own fence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter

from libs.database.repeat import repeated
from libs.tiktok.display_objects import Account, Video
from services.sync.adapters.postgres.arrays import array, columns, parameters
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.item_key import key_values
from services.sync.adapters.together import Together
from services.sync.domain.items import Claim, LostItem

MOST = 50  # items a statement: of pages a thousand rows

# Row locks keep other claims out until the commit; taken in the order of the items' key, as everybody does. What is
# looked up row by row says so with LATERAL: without statistics the planner would rather read tables whole.
HELD = """
held AS (
    SELECT reading.*, item.pages
    FROM (SELECT * FROM reading ORDER BY run_id, job COLLATE "C", subject_kind COLLATE "C", subject_id COLLATE "C")
        AS reading,
    LATERAL (
        SELECT pages FROM sync_items item
        WHERE item.run_id = reading.run_id AND item.job = reading.job AND item.subject_kind = reading.subject_kind
          AND item.subject_id = reading.subject_id AND item.fence = reading.fence AND item.state = 'running'
        FOR UPDATE
    ) AS item
)
"""
READING = "place, run_id, job, subject_kind, subject_id, fence, snapshot_date, fetched_at"
READING_TYPES = "int uuid text text text bigint date timestamptz"

# What is stored of an account and of a video, by the names it has with TikTok and in the tables.
ACCOUNT = "follower_count, following_count, likes_count, video_count, display_name, avatar_url, username"
ACCOUNT_TYPES = "bigint bigint bigint bigint text text text"
VIDEO = "view_count, like_count, comment_count, share_count, description"
VIDEO_TYPES = "bigint bigint bigint bigint text"


def replaced(names: str) -> str:
    """Return what puts new values in place of those that are stored."""
    return ", ".join(f"{name} = excluded.{name}" for name in names.split(", "))


SAVE_ACCOUNTS = f"""
WITH reading AS (
    SELECT * FROM unnest({parameters(1, f"{READING_TYPES} text {ACCOUNT_TYPES}")})
        AS reading ({READING}, account_id, {ACCOUNT})
), {HELD}, stored AS (
    INSERT INTO tiktok_user_daily AS older (
        subject_kind, subject_id, snapshot_date, run_id, fetched_at, account_id, {ACCOUNT})
    SELECT subject_kind, subject_id, snapshot_date, run_id, fetched_at, account_id, {ACCOUNT}
    FROM held
    ON CONFLICT (subject_kind, subject_id, snapshot_date) DO UPDATE SET
        run_id = excluded.run_id, fetched_at = excluded.fetched_at, account_id = excluded.account_id,
        {replaced(ACCOUNT)}
    WHERE excluded.fetched_at >= older.fetched_at
)
SELECT place FROM held
"""

# A video that this run had stored before is not counted twice. A page is progress: attempts before it count no more.
# MATERIALIZED, or what is repeated is counted again for every item.
SAVE_PAGES = f"""
WITH reading AS (
    SELECT * FROM unnest({parameters(1, f"{READING_TYPES} bigint bigint")}) AS reading ({READING}, cursor, videos)
), {HELD}, video AS (
    SELECT * FROM unnest({parameters(11, f"int text bigint {VIDEO_TYPES}")})
        AS video (place, video_id, posted_at, {VIDEO})
), repeated AS MATERIALIZED (
    SELECT place, count(*) AS videos
    FROM held JOIN video USING (place), LATERAL (
        SELECT FROM tiktok_video_daily older
        WHERE older.subject_kind = held.subject_kind AND older.subject_id = held.subject_id
          AND older.snapshot_date = held.snapshot_date AND older.video_id = video.video_id
          AND older.run_id = held.run_id
        LIMIT 1
    ) AS older
    WHERE held.pages > 0
    GROUP BY place
), stored AS (
    INSERT INTO tiktok_video_daily AS older (
        subject_kind, subject_id, snapshot_date, run_id, fetched_at, video_id, posted_at, {VIDEO})
    SELECT subject_kind, subject_id, snapshot_date, run_id, fetched_at,
           video_id, to_timestamp(posted_at), {VIDEO}
    FROM held JOIN video USING (place)
    ON CONFLICT (subject_kind, subject_id, snapshot_date, video_id) DO UPDATE SET
        run_id = excluded.run_id, fetched_at = excluded.fetched_at, posted_at = excluded.posted_at,
        {replaced(VIDEO)}
    WHERE excluded.fetched_at >= older.fetched_at
)
UPDATE sync_items item SET
    cursor = held.cursor, pages = item.pages + 1, attempt = 1, updated_at = clock_timestamp(),
    records = item.records + held.videos - coalesce(repeated.videos, 0)
FROM held LEFT JOIN repeated USING (place)
WHERE item.run_id = held.run_id AND item.job = held.job AND item.subject_kind = held.subject_kind
  AND item.subject_id = held.subject_id AND item.fence = held.fence
RETURNING held.place, item.records
"""


@dataclass(frozen=True, kw_only=True)
class AccountReading:
    """An account as it was fetched for a claim."""

    claim: Claim
    account: Account
    fetched_at: datetime


@dataclass(frozen=True, kw_only=True)
class PageReading:
    """A page as it was fetched for a claim, and the cursor of the next."""

    claim: Claim
    videos: tuple[Video, ...]
    cursor: int | None
    fetched_at: datetime


class SnapshotWrites:
    """Writes snapshots; LostItem, and nothing written, when another worker has claimed the item."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accounts: Together[AccountReading, None] = Together(self._save_accounts, most=MOST)
        self._pages: Together[PageReading, int] = Together(self._save_pages, most=MOST)

    async def save_account(self, claim: Claim, account: Account, fetched_at: datetime) -> None:
        """Store the account of the claim's day, unless a later reading is there."""
        await self._accounts.call(AccountReading(claim=claim, account=account, fetched_at=fetched_at))

    async def save_videos(
        self, claim: Claim, videos: tuple[Video, ...], *, cursor: int | None, fetched_at: datetime
    ) -> Claim:
        """Store a page and the cursor of the next one; return the claim as it stands then."""
        page = PageReading(claim=claim, videos=videos, cursor=cursor, fetched_at=fetched_at)
        records = await self._pages.call(page)
        return replace(claim, cursor=cursor, pages=claim.pages + 1, records=records, attempt=1)

    @repeated
    async def _save_accounts(self, readings: Sequence[AccountReading]) -> list[Exception | None]:
        rows = [
            (*heading(place, reading.claim, reading.fetched_at), reading.account.open_id, *figures_of(reading.account))
            for place, reading in enumerate(readings)
        ]
        async with self._database.borrow() as connection:
            held = {row["place"] for row in await connection.fetch(SAVE_ACCOUNTS, *columns(rows))}
        return [None if place in held else LostItem() for place in range(len(readings))]

    @repeated
    async def _save_pages(self, readings: Sequence[PageReading]) -> list[int | Exception]:
        rows = [
            (*heading(place, reading.claim, reading.fetched_at), reading.cursor, len(reading.videos))
            for place, reading in enumerate(readings)
        ]
        async with self._database.borrow() as connection:
            held = await connection.fetch(SAVE_PAGES, *columns(rows), *video_columns(readings))
        records = {row["place"]: row["records"] for row in held}
        return [records.get(place, LostItem()) for place in range(len(readings))]


def heading(place: int, claim: Claim, fetched_at: datetime) -> tuple[object, ...]:
    """Return what READING names: a reading's number in its batch, the claim it is for, its day and its time."""
    return place, *key_values(claim.key), claim.fence, claim.snapshot_date, fetched_at


figures_of = attrgetter(*ACCOUNT.split(", "))
# In the order of SAVE_PAGES.
VIDEO_FACTS = ("id", "posted_at", *VIDEO.split(", "))
facts_of = attrgetter(*VIDEO_FACTS)


def video_columns(readings: Sequence[PageReading]) -> list[str]:
    """Return the videos of all pages by column, as SAVE_PAGES takes them."""
    videos = [(place, *facts_of(video)) for place, reading in enumerate(readings) for video in reading.videos]
    return columns(videos) if videos else [array(())] * (1 + len(VIDEO_FACTS))
