"""What the Display API says about accounts and videos: a field that makes no sense is absent, not fatal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from libs.errors import UpstreamBadResponse, UpstreamCursorLoop

LARGEST_COUNT = (1 << 63) - 1  # PostgreSQL's bigint
LONGEST_TEXT = 10_000  # characters; TikTok's own limit for a description is 150
LONGEST_ID = 64  # characters; today's ids have 19 digits
LAST_SECOND = 253_402_300_799  # of the year 9999, where datetimes of Python end

Json = Mapping[str, Any]
Reader = Callable[[Any], Any]


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
    """A video as video/list shows it, posted_at in Unix seconds; None is what TikTok did not say."""

    id: str
    posted_at: int | None = None
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


def as_count(value: Any) -> int | None:
    """Return a count that fits a bigint, else None."""
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None


def as_second(value: Any) -> int | None:
    """Return a point in time given in Unix seconds, else None."""
    return value if type(value) is int and 0 <= value <= LAST_SECOND else None


def as_text(value: Any, longest: int = LONGEST_TEXT) -> str | None:
    """Return a text that PostgreSQL can store, else None."""
    if not isinstance(value, str):
        return None
    if value.isascii() and "\x00" not in value:
        return value[:longest]
    # A NUL is no character to PostgreSQL, and half a surrogate pair is none to UTF-8.
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")[:longest]


# The fields of an account by the scope that opens them, user.info.basic, .stats and .profile, and how each is read.
BASIC_FIELDS: Mapping[str, Reader] = MappingProxyType(
    {"open_id": as_text, "display_name": as_text, "avatar_url": as_text}
)
STATS_FIELDS: Mapping[str, Reader] = MappingProxyType(
    {"follower_count": as_count, "following_count": as_count, "likes_count": as_count, "video_count": as_count}
)
PROFILE_FIELDS: Mapping[str, Reader] = MappingProxyType({"username": as_text})
VIDEO_FIELDS = ("id", "create_time", "video_description", "view_count", "like_count", "comment_count", "share_count")


def read_account(user: Json) -> Account:
    """Return the account in data.user."""
    readers = {**BASIC_FIELDS, **STATS_FIELDS, **PROFILE_FIELDS}
    meant = {name: read(user.get(name)) for name, read in readers.items()}
    oddities = sum(value is None and user.get(name) is not None for name, value in meant.items())
    return Account(**meant, oddities=oddities)


def read_video(source: Any) -> tuple[Video | None, int]:
    """Return the video, None when it has no id, and how many of its fields made no sense."""
    identity = as_text(source.get("id"), LONGEST_ID) if isinstance(source, dict) else None
    if not identity:
        return None, 1
    said = tuple(map(source.get, VIDEO_FIELDS))
    _, posted_at, description, views, likes, comments, shares = said
    video = Video(
        identity,
        as_second(posted_at),
        as_text(description),
        as_count(views),
        as_count(likes),
        as_count(comments),
        as_count(shares),
    )
    return video, video.count(None) - said.count(None)


def read_video_page(data: Json) -> VideoPage:
    """Return the page in data; a video that comes twice counts once, as it came last."""
    listed, has_more = data.get("videos"), data.get("has_more")
    if not isinstance(listed, list) or not isinstance(has_more, bool):
        raise UpstreamBadResponse("TikTok's page of videos has no list of videos or does not say whether more follow.")
    read = [read_video(source) for source in listed]
    cursor = as_count(data.get("cursor"))
    odd_cursor = cursor is None and data.get("cursor") is not None
    return VideoPage(
        videos=tuple({video.id: video for video, _ in read if video is not None}.values()),
        cursor=cursor,
        has_more=has_more,
        oddities=sum(odd for _, odd in read) + odd_cursor,
    )
