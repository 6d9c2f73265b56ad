"""What the database holds, beside what TikTok shows."""

from typing import Any

import asyncpg
import httpx

USER = ("follower_count", "following_count", "likes_count", "video_count", "display_name", "avatar_url")
VIDEO = ("view_count", "like_count", "comment_count", "share_count")
Rows = dict[tuple[str, ...], tuple[Any, ...]]


async def stored(dsn: str) -> tuple[Rows, Rows]:
    """Return the account rows by store and day, and the video rows by store, day and video."""
    connection = await asyncpg.connect(dsn)
    try:
        users = await connection.fetch("SELECT *, snapshot_date::text AS day FROM reporting.tiktok_user_daily")
        videos = await connection.fetch("SELECT *, snapshot_date::text AS day FROM reporting.tiktok_video_daily")
    finally:
        await connection.close()
    by_store: Rows = {(row["store_code"], row["day"]): tuple(row[name] for name in USER) for row in users}
    by_video: Rows = {
        (row["store_code"], row["day"], row["video_id"]): (*(row[name] for name in VIDEO), row["description"])
        for row in videos
    }
    assert (len(by_store), len(by_video)) == (len(users), len(videos)), "a row stands there twice"
    return by_store, by_video


async def shown(sandbox: str, days: set[tuple[str, str]]) -> tuple[Rows, Rows]:
    """Return what TikTok shows of the stores on those days, in the same shape."""
    users: Rows = {}
    videos: Rows = {}
    async with httpx.AsyncClient(base_url=sandbox) as client:
        for store, day in days:
            truth = (await client.get(f"/sandbox/truth/{store}", params={"day": day})).json()
            users[store, day] = account_of(truth)
            videos |= {(store, day, video): figures for video, figures in videos_of(truth).items()}
    return users, videos


def account_of(truth: dict[str, Any]) -> tuple[Any, ...]:
    """Return what an account's row holds."""
    return tuple(truth["user"][name] for name in USER)


def videos_of(truth: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return what the rows of an account's videos hold, by their ids, newest first."""
    return {video["id"]: (*(video[name] for name in VIDEO), video["video_description"]) for video in truth["videos"]}


async def everything(dsn: str) -> str:
    """Return every column of every row of every table, as text, bytes in hexadecimal and as they read."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("SELECT relid::regclass::text AS name FROM pg_stat_user_tables")
        rows = [row for table in tables for row in await connection.fetch(f"SELECT * FROM {table['name']}")]
        return "\n".join(readable(value) for row in rows for value in row.values())
    finally:
        await connection.close()


def readable(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
