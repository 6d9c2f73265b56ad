"""Reports as JSON, and as rows of a table."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tokhub.sync.v1 import report_pb2

from services.gateway.shapes.optional import value_or_none
from services.gateway.shapes.times import time_or_none

Row = dict[str, Any]

GROWTH = (
    "storeCode",
    "storeName",
    "firstDate",
    "lastDate",
    "days",
    "followerCount",
    "followersGained",
    "likesCount",
    "likesGained",
    "videoCount",
    "videosGained",
)
TOP_VIDEOS = (
    "storeCode",
    "videoId",
    "description",
    "postedAt",
    "firstDate",
    "lastDate",
    "viewCount",
    "viewsGained",
    "likeCount",
    "commentCount",
    "shareCount",
)
DAILY_TOTALS = (
    "snapshotDate",
    "stores",
    "followerCount",
    "followersGained",
    "likesCount",
    "likesGained",
    "storesWithVideos",
    "videos",
    "viewCount",
    "likeCount",
    "commentCount",
    "shareCount",
)
COMPLETENESS = ("snapshotDate", "job", "expected", "done", "missing", "reasons")

# A list in one cell of a table.
CELLS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {"reasons": lambda reasons: " ".join(f"{one['reason']}={one['stores']}" for one in reasons)}
)


def growth(store: report_pb2.StoreGrowth) -> Row:
    """Return a store's growth."""
    return {
        "storeCode": store.store_code,
        "storeName": store.store_name,
        "firstDate": store.first_date or None,
        "lastDate": store.last_date or None,
        "days": store.days,
        "followerCount": value_or_none(store, "follower_count"),
        "followersGained": value_or_none(store, "followers_gained"),
        "likesCount": value_or_none(store, "likes_count"),
        "likesGained": value_or_none(store, "likes_gained"),
        "videoCount": value_or_none(store, "video_count"),
        "videosGained": value_or_none(store, "videos_gained"),
    }


def top_video(video: report_pb2.TopVideo) -> Row:
    """Return a video over the period."""
    return {
        "storeCode": video.store_code,
        "videoId": video.video_id,
        "description": value_or_none(video, "description"),
        "postedAt": time_or_none(video, "post_time"),
        "firstDate": video.first_date,
        "lastDate": video.last_date,
        "viewCount": video.view_count,
        "viewsGained": video.views_gained,
        "likeCount": value_or_none(video, "like_count"),
        "commentCount": value_or_none(video, "comment_count"),
        "shareCount": value_or_none(video, "share_count"),
    }


def daily_totals(day: report_pb2.DailyTotals) -> Row:
    """Return one day's sums."""
    return {
        "snapshotDate": day.snapshot_date,
        "stores": day.stores,
        "followerCount": value_or_none(day, "follower_count"),
        "followersGained": value_or_none(day, "followers_gained"),
        "likesCount": value_or_none(day, "likes_count"),
        "likesGained": value_or_none(day, "likes_gained"),
        "storesWithVideos": day.stores_with_videos,
        "videos": day.videos,
        "viewCount": value_or_none(day, "view_count"),
        "likeCount": value_or_none(day, "like_count"),
        "commentCount": value_or_none(day, "comment_count"),
        "shareCount": value_or_none(day, "share_count"),
    }


def completeness(day: report_pb2.Completeness) -> Row:
    """Return one job on one day."""
    return {
        "snapshotDate": day.snapshot_date,
        "job": day.job,
        "expected": day.expected,
        "done": day.done,
        "missing": day.expected - day.done,
        "reasons": [
            {"reason": one.reason, "stores": one.stores, "storeCodes": list(one.store_codes)} for one in day.missing
        ],
    }
