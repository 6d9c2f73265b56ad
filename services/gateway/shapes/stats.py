"""Daily snapshots as JSON."""

from typing import Any

from tokhub.sync.v1 import sync_pb2

from services.gateway.shapes.optional import value_or_none
from services.gateway.shapes.times import time_or_none


def user_stats(day: sync_pb2.UserStats) -> dict[str, Any]:
    """Return an account on one day."""
    return {
        "id": day.id,
        "storeCode": day.store_code,
        "snapshotDate": day.snapshot_date,
        "followerCount": value_or_none(day, "follower_count"),
        "followingCount": value_or_none(day, "following_count"),
        "likesCount": value_or_none(day, "likes_count"),
        "videoCount": value_or_none(day, "video_count"),
        "displayName": value_or_none(day, "display_name"),
        "avatarUrl": value_or_none(day, "avatar_url"),
        "createdAt": time_or_none(day, "create_time"),
    }


def video_stats(day: sync_pb2.VideoStats) -> dict[str, Any]:
    """Return a video on one day."""
    return {
        "id": day.id,
        "storeCode": day.store_code,
        "snapshotDate": day.snapshot_date,
        "videoId": day.video_id,
        "viewCount": value_or_none(day, "view_count"),
        "likeCount": value_or_none(day, "like_count"),
        "commentCount": value_or_none(day, "comment_count"),
        "shareCount": value_or_none(day, "share_count"),
        "description": value_or_none(day, "description"),
        "createdAt": time_or_none(day, "create_time"),
    }
