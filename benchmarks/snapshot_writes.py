"""How fast pages are stored under their fences, beside a bare upsert of the same rows."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from benchmarks.figures import Figure, at_least
from benchmarks.ground import Ground
from libs.database.migrations import migrate
from libs.database.pool import Pool, open_pool
from libs.tiktok.display_objects import Video
from services.sync.__main__ import MIGRATIONS, SCHEMA
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.item_rows import claim_items
from services.sync.adapters.postgres.partitions import Partitions
from services.sync.adapters.postgres.snapshot_writes import MOST, SnapshotWrites
from services.sync.domain.items import Claim, ItemKey
from services.sync.domain.jobs import Job
from services.sync.domain.subjects import Subject

STORES, PAGES, PAGE = 1_000, 5, 20
ROWS = STORES * PAGES * PAGE
AT_ONCE = 200  # stores at work
ROUNDS = 5
NOW = datetime.now(UTC)
TODAY = NOW.date()

ADD_RUN = """
INSERT INTO sync_runs (id, job, scope_key, state, total, snapshot_date)
VALUES ($1, 'video', $4, 'running', $2, $3)
"""
ADD_ITEMS = """
INSERT INTO sync_items (run_id, job, subject_kind, subject_id, state)
SELECT $1, 'video', 'store', unnest($2::text[]), 'queued'
"""
BARE = """
INSERT INTO tiktok_video_daily AS older (subject_kind, subject_id, snapshot_date, run_id, fetched_at, video_id,
    view_count, like_count, comment_count, share_count, description, posted_at)
SELECT 'store', subject_id, $1, $2, $3, video_id, 1, 2, 3, 4, description, $3
FROM unnest($4::text[], $5::text[], $6::text[]) AS row (subject_id, video_id, description)
ON CONFLICT (subject_kind, subject_id, snapshot_date, video_id) DO UPDATE SET
    run_id = excluded.run_id, fetched_at = excluded.fetched_at, view_count = excluded.view_count,
    like_count = excluded.like_count, comment_count = excluded.comment_count, share_count = excluded.share_count,
    description = excluded.description, posted_at = excluded.posted_at
"""
# Of the partitions, whose rows nobody has deleted or changed.
BYTES = """
SELECT sum(pg_total_relation_size(relid))::float8 / (SELECT count(*) FROM tiktok_video_daily)
FROM pg_partition_tree('tiktok_video_daily')
"""


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return rows a second for new stores each round, the bare upsert and ours by turns."""
    database = await ground.database("snapshot_writes")
    dsn = database.dsn.reveal()
    await migrate(dsn, MIGRATIONS, SCHEMA)
    async with open_pool(dsn, application="benchmark", schema=SCHEMA) as pool:
        await Partitions(Database(pool)).prepare(TODAY)
        bare, ours = [], []
        for number in range(ROUNDS):
            bare.append(ROWS / await bare_upsert(pool, names(f"bare{number}")))
            ours.append(ROWS / await fenced(pool, names(f"ours{number}")))
        size = await pool.fetchval(BYTES)
    return [
        Figure(name="bare upsert", unit="rows/s", rounds=bare),
        Figure(
            name="pages under their fences",
            unit="rows/s",
            rounds=ours,
            floor="bare upsert",
            floors=bare,
            limit=at_least(0.7),
        ),
        Figure(name="a video's row on the disk, with its indexes", unit="bytes", rounds=[size]),
    ]


def names(prefix: str) -> Sequence[str]:
    """Return stores that no round before had."""
    return [f"{prefix}_{number:05}" for number in range(STORES)]


def videos_of(page: int) -> tuple[Video, ...]:
    """Return a page of videos."""
    return tuple(
        Video(
            id=f"75{page:08}{number:09}",
            posted_at=int(NOW.timestamp()),
            description="What the owner wrote about it, at the usual length #fyp #shop",
            view_count=1,
            like_count=2,
            comment_count=3,
            share_count=4,
        )
        for number in range(PAGE)
    )


async def bare_upsert(pool: Pool, stores: Sequence[str]) -> float:
    """Store all pages, as many rows at once as ours does; return the seconds."""
    began = time.perf_counter()
    run_id = uuid4()
    for page in range(PAGES):
        for first in range(0, STORES, MOST):
            rows = [
                (name, video.id, video.description)
                for name in stores[first : first + MOST]
                for video in videos_of(page)
            ]
            await pool.execute(BARE, TODAY, run_id, NOW, *map(list, zip(*rows, strict=True)))
    return time.perf_counter() - began


async def fenced(pool: Pool, stores: Sequence[str]) -> float:
    """Store all pages as workers do, page after page of each store; return the seconds."""
    writes, claims = SnapshotWrites(Database(pool)), iter(await claimed(pool, stores))
    began = time.perf_counter()

    async def work() -> None:
        for claim in claims:
            at = claim
            for page in range(PAGES):
                at = await writes.save_videos(at, videos_of(page), cursor=100 - page, fetched_at=NOW)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return time.perf_counter() - began


async def claimed(pool: Pool, stores: Sequence[str]) -> Sequence[Claim]:
    """Return a claimed item for each store."""
    run_id = str(uuid4())
    async with pool.acquire() as connection:
        await connection.execute(ADD_RUN, run_id, STORES, TODAY, run_id)
        await connection.execute(ADD_ITEMS, run_id, list(stores))
        keys = [ItemKey(run_id, Job.VIDEO, Subject.store(name)) for name in stores]
        return [claim for claim in await claim_items(connection, keys) if isinstance(claim, Claim)]
