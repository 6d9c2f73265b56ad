"""Snapshots as they were stored: an account or a video on one day; queries and exports have the columns of these."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, kw_only=True)
class UserSnapshot:
    """An account on one day; None is what TikTok did not say."""

    id: int
    store_code: str
    snapshot_date: date
    follower_count: int | None
    following_count: int | None
    likes_count: int | None
    video_count: int | None
    display_name: str | None
    avatar_url: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class AccountMetrics:
    """An account as it was last read; None is what TikTok did not say, and all is None before."""

    username: str | None = None
    display_name: str | None = None
    avatar_url: str | None = None
    follower_count: int | None = None
    following_count: int | None = None
    likes_count: int | None = None
    video_count: int | None = None
    fetched_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class VideoSnapshot:
    """A video on one day; None is what TikTok did not say."""

    id: int
    store_code: str
    snapshot_date: date
    video_id: str
    view_count: int | None
    like_count: int | None
    comment_count: int | None
    share_count: int | None
    description: str | None
    created_at: datetime


@dataclass(frozen=True)
class VideoPosition:
    """Where a page of video snapshots ended: newest day first, then by video."""

    snapshot_date: date
    video_id: str
