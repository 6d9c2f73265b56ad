"""Reports, each made by one statement over all stores."""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any

import asyncpg

from services.sync.adapters.postgres.report_database import ReportDatabase
from services.sync.adapters.postgres.sums import bounded_sum
from services.sync.domain.reports import Completeness, DailyTotals, Missing, Period, StoreGrowth, TopVideo

# The first snapshot is one of the account that the last one shows; rows of unknown account count as that one's.
GROWTH = """
SELECT s.store_code, s.store_name, f.snapshot_date AS first_date, l.snapshot_date AS last_date,
       (SELECT count(*) FROM tiktok_user_daily d
        WHERE d.subject_kind = 'store' AND d.subject_id = s.store_code AND d.snapshot_date BETWEEN $1 AND $2
          AND (d.account_id <> l.account_id) IS NOT TRUE) AS days,
       l.follower_count, l.follower_count - f.follower_count AS followers_gained,
       l.likes_count, l.likes_count - f.likes_count AS likes_gained,
       l.video_count, l.video_count - f.video_count AS videos_gained
FROM (
    SELECT store_code, store_name FROM stores
    WHERE archived_at IS NULL AND store_code > $3 ORDER BY store_code LIMIT $4
) s
LEFT JOIN LATERAL (
    SELECT * FROM tiktok_user_daily d
    WHERE d.subject_kind = 'store' AND d.subject_id = s.store_code AND d.snapshot_date BETWEEN $1 AND $2
    ORDER BY d.snapshot_date DESC LIMIT 1
) l ON true
LEFT JOIN LATERAL (
    SELECT * FROM tiktok_user_daily d
    WHERE d.subject_kind = 'store' AND d.subject_id = s.store_code AND d.snapshot_date BETWEEN $1 AND $2
      AND (d.account_id <> l.account_id) IS NOT TRUE
    ORDER BY d.snapshot_date LIMIT 1
) f ON true
ORDER BY s.store_code
"""

# An array of day and count is ordered by its day: the count of the first and of the last day in one pass, unsorted.
TOP_VIDEOS = """
WITH seen AS (
    SELECT subject_id, video_id,
           min(ARRAY[snapshot_date - DATE '2000-01-01', view_count]) AS first,
           max(ARRAY[snapshot_date - DATE '2000-01-01', view_count]) AS last,
           max(posted_at) AS posted_at
    FROM tiktok_video_daily
    WHERE subject_kind = 'store' AND snapshot_date BETWEEN $1 AND $2 AND view_count IS NOT NULL
      AND subject_id IN (SELECT store_code FROM stores WHERE archived_at IS NULL)
      AND ($5 = '' OR subject_id = $5)
    GROUP BY subject_id, video_id
), top AS (
    SELECT subject_id, video_id, posted_at, last[2] AS view_count,
           DATE '2000-01-01' + first[1]::int AS first_date, DATE '2000-01-01' + last[1]::int AS last_date,
           last[2] - CASE WHEN posted_at >= $3 THEN 0 ELSE first[2] END AS views_gained
    FROM seen ORDER BY views_gained DESC, view_count DESC, subject_id, video_id LIMIT $4
)
SELECT top.subject_id AS store_code, top.video_id, d.description, top.posted_at, top.first_date, top.last_date,
       top.view_count, top.views_gained, d.like_count, d.comment_count, d.share_count
FROM top
CROSS JOIN LATERAL (
    SELECT * FROM tiktok_video_daily d
    WHERE d.subject_kind = 'store' AND d.subject_id = top.subject_id
      AND d.snapshot_date = top.last_date AND d.video_id = top.video_id
) d
ORDER BY top.views_gained DESC, top.view_count DESC, top.subject_id, top.video_id
"""


def total(expression: str) -> str:
    """Return SQL for a sum that is NULL when nothing was said."""
    return f"CASE WHEN count({expression}) > 0 THEN {bounded_sum(expression)} END"


DAILY_TOTALS = f"""
WITH live AS (
    SELECT store_code FROM stores WHERE archived_at IS NULL AND ($3 = '' OR store_code = $3)
), accounts AS (
    SELECT snapshot_date, follower_count, likes_count,
           CASE WHEN (account_id <> lag(account_id) OVER before) IS NOT TRUE
                THEN follower_count - lag(follower_count) OVER before END AS followers_gained,
           CASE WHEN (account_id <> lag(account_id) OVER before) IS NOT TRUE
                THEN likes_count - lag(likes_count) OVER before END AS likes_gained
    FROM tiktok_user_daily JOIN live ON live.store_code = subject_id
    WHERE subject_kind = 'store' AND snapshot_date BETWEEN $1 AND $2
    WINDOW before AS (PARTITION BY subject_id ORDER BY snapshot_date)
), by_account AS (
    SELECT snapshot_date, count(*) AS stores, {total("follower_count")} AS follower_count,
           {total("followers_gained")} AS followers_gained, {total("likes_count")} AS likes_count,
           {total("likes_gained")} AS likes_gained
    FROM accounts GROUP BY snapshot_date
), store_days AS (
    SELECT snapshot_date, subject_id, count(*) AS videos, sum(view_count) AS views, sum(like_count) AS likes,
           sum(comment_count) AS comments, sum(share_count) AS shares
    FROM tiktok_video_daily
    WHERE subject_kind = 'store' AND snapshot_date BETWEEN $1 AND $2 AND ($3 = '' OR subject_id = $3)
    GROUP BY snapshot_date, subject_id
), by_video AS (
    SELECT snapshot_date, count(*) AS stores_with_videos, sum(videos)::bigint AS videos,
           {total("views")} AS view_count, {total("likes")} AS like_count,
           {total("comments")} AS comment_count, {total("shares")} AS share_count
    FROM store_days JOIN live ON live.store_code = subject_id GROUP BY snapshot_date
)
SELECT day::date AS snapshot_date, coalesce(stores, 0) AS stores,
       follower_count, followers_gained, likes_count, likes_gained,
       coalesce(stores_with_videos, 0) AS stores_with_videos, coalesce(videos, 0) AS videos,
       view_count, like_count, comment_count, share_count
FROM generate_series($1::date, $2::date, interval '1 day') day
LEFT JOIN by_account ON by_account.snapshot_date = day::date
LEFT JOIN by_video ON by_video.snapshot_date = day::date
ORDER BY day
"""

# Most stores are done: only those that are not are sorted by their reasons.
COMPLETENESS = """
WITH parts (job) AS (
    VALUES ('user'), ('video')
), days AS (
    SELECT * FROM unnest($1::date[], $2::timestamptz[]) AS days (day, ends_at)
), runs AS (
    SELECT sync_runs.id, parts.job, snapshot_date AS day, subject_id IS NULL AND listed IS NULL AS covers_all
    FROM sync_runs JOIN parts ON sync_runs.job IN (parts.job, 'all')
    WHERE snapshot_date = ANY($1)
), covered AS (
    SELECT DISTINCT day, job FROM runs WHERE covers_all
), items AS (
    SELECT runs.day, runs.job, item.subject_id, item.outcome, item.state, item.reason, item.ended_at
    FROM runs JOIN sync_items item ON item.run_id = runs.id AND item.job = runs.job
    WHERE item.subject_kind = 'store'
), done AS (
    SELECT day, job, subject_id FROM items WHERE outcome = 'SUCCESS' GROUP BY day, job, subject_id
), tried AS (
    SELECT day, job, subject_id, bool_or(state <> 'ended') AS is_open,
           (array_agg(reason ORDER BY ended_at DESC NULLS LAST))[1] AS reason
    FROM items WHERE outcome IS DISTINCT FROM 'SUCCESS' GROUP BY day, job, subject_id
), counted AS (
    SELECT days.day, parts.job, count(store_code) AS expected
    FROM days CROSS JOIN parts LEFT JOIN stores ON archived_at IS NULL AND created_at < ends_at
    GROUP BY days.day, parts.job
), missing AS (
    SELECT days.day, parts.job, store_code,
           CASE WHEN is_open THEN 'IN_PROGRESS' WHEN reason <> '' THEN reason
                WHEN covered.day IS NOT NULL THEN 'NOT_CONNECTED' ELSE 'NOT_RUN' END AS why
    FROM days CROSS JOIN parts JOIN stores ON archived_at IS NULL AND created_at < ends_at
    LEFT JOIN tried ON tried.day = days.day AND tried.job = parts.job AND tried.subject_id = store_code
    LEFT JOIN covered ON covered.day = days.day AND covered.job = parts.job
    WHERE NOT EXISTS (
        SELECT FROM done WHERE done.day = days.day AND done.job = parts.job AND done.subject_id = store_code)
)
SELECT counted.day AS snapshot_date, counted.job, expected, why, count(store_code) AS stores,
       (array_agg(store_code ORDER BY store_code))[:100] AS store_codes
FROM counted LEFT JOIN missing ON missing.day = counted.day AND missing.job = counted.job
GROUP BY counted.day, counted.job, expected, why ORDER BY counted.day, counted.job, stores DESC, why
"""


class ReportRows:
    """Reads reports; StorageUnavailable when one takes too long."""

    def __init__(self, database: ReportDatabase) -> None:
        self._database = database

    async def growth(self, period: Period, *, after: str, limit: int) -> list[StoreGrowth]:
        """Return the growth of stores with higher codes, lowest first."""
        rows = await self._fetch(GROWTH, period.first, period.last, after, limit)
        return [StoreGrowth(**row) for row in rows]

    async def top_videos(self, period: Period, *, begins_at: datetime, limit: int, store_code: str) -> list[TopVideo]:
        """Return the videos, of one store or all, that gained most; those posted from begins_at on began with none."""
        rows = await self._fetch(TOP_VIDEOS, period.first, period.last, begins_at, limit, store_code)
        return [TopVideo(**row) for row in rows]

    async def daily_totals(self, period: Period, *, store_code: str) -> list[DailyTotals]:
        """Return the sums of every day, of one store or all, oldest first."""
        return [DailyTotals(**row) for row in await self._fetch(DAILY_TOTALS, period.first, period.last, store_code)]

    async def completeness(self, ends: Sequence[tuple[date, datetime]]) -> list[Completeness]:
        """Return how complete these days are, each given with the moment at which it ends."""
        rows = await self._fetch(COMPLETENESS, [day for day, _ in ends], [moment for _, moment in ends])
        groups = groupby(rows, key=lambda row: (row["snapshot_date"], row["job"]))
        return [to_completeness(day, job, list(group)) for (day, job), group in groups]

    async def _fetch(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        async with self._database.read() as connection:
            return await connection.fetch(statement, *values)


def to_completeness(day: date, job: str, rows: list[asyncpg.Record]) -> Completeness:
    """Return one job of one day from its rows: one for each reason why stores are missing, or one without a reason."""
    return Completeness(
        snapshot_date=day,
        job=job,
        expected=rows[0]["expected"],
        done=rows[0]["expected"] - sum(row["stores"] for row in rows),
        missing=tuple(
            Missing(reason=row["why"], stores=row["stores"], store_codes=tuple(row["store_codes"]))
            for row in rows
            if row["why"]
        ),
    )
