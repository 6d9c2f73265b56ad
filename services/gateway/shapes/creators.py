"""Accounts of creators as JSON."""

from typing import Any

from tokhub.sync.v1 import account_pb2

from services.gateway.shapes.optional import value_or_none
from services.gateway.shapes.times import time_or_none


def metrics(account: account_pb2.AccountMetrics) -> dict[str, Any]:
    """Return the figures of an account."""
    return {
        "followerCount": value_or_none(account, "follower_count"),
        "followingCount": value_or_none(account, "following_count"),
        "likeCount": value_or_none(account, "likes_count"),
        "videoCount": value_or_none(account, "video_count"),
        "lastSyncAt": time_or_none(account, "last_sync_time"),
    }
