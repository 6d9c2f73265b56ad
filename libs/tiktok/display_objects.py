"""What the Display API says about accounts and videos: a field that makes no sense is absent, not fatal."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from libs.errors import UpstreamBadResponse, UpstreamCursorLoop

LARGEST_COUNT = (1 << 63) - 1  # PostgreSQL's bigint
LONGEST_TEXT = 10_000  # characters; TikTok's own limit for a description is 150
LONGEST_ID = 64  # characters; today's ids have 19 digits
LAST_SECOND = 253_402_300_799  # of the year 9999, where datetime ends

Json = Mapping[str, Any]


class AccessTokenInvalid(UpstreamBadResponse):
    """TikTok does not accept this access token: refresh it and repeat once."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account as user/info shows it; None is what TikTok did not say."""

    open_id: str | None = None
    display_name: str | None = None
    avatar_url: str | None = None
    username: str | None = None
    follower_count: int | None = None
    following_count: int | None = None
    likes_count: int | None = None
    video_count: int | None = None
    oddities: int = 0


class Video(NamedTuple):
    """A video as video/list shows it; None is what TikTok did not say."""

    id: str
    posted_at: datetime | None = None
    description: str | None = None
    view_count: int | None = None
    like_count: int | None = None
    comment_count: int | None = None
    share_count: int | None = None


@dataclass(frozen=True, kw_only=True)
class VideoPage:
    """One page of video/list; cursor is in Unix milliseconds."""

    videos: tuple[Video, ...]
    cursor: int | None
    has_more: bool
    oddities: int = 0

    def cursor_after(self, asked: int | None) -> int | None:
        """Return the cursor of the page behind this one, None on the last; UpstreamCursorLoop when it does not advance.

        Cursors are points in time and pages run from new to old, so each must be lower than the one before.
        """
        if not self.has_more:
            return None
        if self.cursor is None:
            raise UpstreamBadResponse("TikTok announced another page of videos without saying where it begins.")
        if asked is not None and self.cursor >= asked:
            raise UpstreamCursorLoop
        return self.cursor


class Reader:
    """Reads the fields of one object and counts those that make no sense."""

    def __init__(self, source: Any) -> None:
        self._source: Json = source if isinstance(source, dict) else {}
        self.oddities = 0 if isinstance(source, dict) else 1

    def count(self, name: str) -> int | None:
        """Return a count that fits a bigint, else None."""
        value = self._source.get(name)
        if value is None or (type(value) is int and 0 <= value <= LARGEST_COUNT):
            return value
        self.oddities += 1
        return None

    def moment(self, name: str) -> datetime | None:
        """Return a point in time given in Unix seconds, else None."""
        seconds = self.count(name)
        if seconds is None or seconds <= LAST_SECOND:
            return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
        self.oddities += 1
        return None

    def text(self, name: str, longest: int = LONGEST_TEXT) -> str | None:
        """Return a text that PostgreSQL can store, else None."""
        value = self._source.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.oddities += 1
            return None
        if value.isascii() and "\x00" not in value:
            return value[:longest]
        # A NUL is no character to PostgreSQL, and half a surrogate pair is none to UTF-8.
        return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")[:longest]


def read_account(user: Any) -> Account:
    """Return the account in data.user."""
    reader = Reader(user)
    account = Account(
        open_id=reader.text("open_id"),
        display_name=reader.text("display_name"),
        avatar_url=reader.text("avatar_url"),
        username=reader.text("username"),
        follower_count=reader.count("follower_count"),
        following_count=reader.count("following_count"),
        likes_count=reader.count("likes_count"),
        video_count=reader.count("video_count"),
    )
    return replace(account, oddities=reader.oddities)


def read_video(source: Any) -> tuple[Video | None, int]:
    """Return the video, None when it has no id, and how many of its fields made no sense."""
    reader = Reader(source)
    identity = reader.text("id", LONGEST_ID)
    if not identity:
        return None, reader.oddities + 1
    video = Video(
        id=identity,
        posted_at=reader.moment("create_time"),
        description=reader.text("video_description"),
        view_count=reader.count("view_count"),
        like_count=reader.count("like_count"),
        comment_count=reader.count("comment_count"),
        share_count=reader.count("share_count"),
    )
    return video, reader.oddities


def read_video_page(data: Json) -> VideoPage:
    """Return the page in data; a video that comes twice counts once, as it came last."""
    listed, has_more = data.get("videos"), data.get("has_more")
    if not isinstance(listed, list) or not isinstance(has_more, bool):
        raise UpstreamBadResponse("TikTok's page of videos has no list of videos or does not say whether more follow.")
    read = [read_video(source) for source in listed]
    reader = Reader(data)
    cursor = reader.count("cursor")
    return VideoPage(
        videos=tuple({video.id: video for video, _ in read if video is not None}.values()),
        cursor=cursor,
        has_more=has_more,
        oddities=reader.oddities + sum(odd for _, odd in read),
    )
