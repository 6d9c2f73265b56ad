"""Stores, as they were entered, and their newest figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, kw_only=True)
class StoreDraft:
    """A store as somebody enters it."""

    store_code: str
    store_name: str
    pic_name: str
    pic_contact: str | None
    team_id: int


class StoreField(StrEnum):
    """What can be changed about a store later; only the contact can be removed."""

    STORE_NAME = "store_name"
    PIC_NAME = "pic_name"
    PIC_CONTACT = "pic_contact"


StoreChanges = Mapping[StoreField, str | None]


@dataclass(frozen=True, kw_only=True)
class StoreChoice:
    """Which stores are listed: those with a text in them, and, where codes are given, some codes or all but some."""

    search: str = ""
    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class LatestUserStats:
    """The newest account snapshot, shortened."""

    follower_count: int | None
    likes_count: int | None
    video_count: int | None


@dataclass(frozen=True, kw_only=True)
class LatestVideoStats:
    """The newest day of video snapshots, added up."""

    total_videos: int
    total_views: int


@dataclass(frozen=True, kw_only=True)
class Store:
    """A store with its newest figures; None before the first sync."""

    store_code: str
    store_name: str
    pic_name: str
    pic_contact: str | None
    team_id: int
    created_at: datetime
    last_sync_at: datetime | None
    user_stats: LatestUserStats | None
    video_stats: LatestVideoStats | None
