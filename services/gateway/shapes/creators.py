"""Accounts of creators as JSON."""

from typing import Any

from tokhub.sync.v1 import account_pb2
from tokhub.token.v1 import token_pb2

from services.gateway.shapes.optional import value_or_none
from services.gateway.shapes.stores import LIVE
from services.gateway.shapes.times import time_or_none

GONE = frozenset({token_pb2.CONNECTION_STATUS_UNSPECIFIED, token_pb2.CONNECTION_STATUS_DISCONNECTED})


def account_status(connection: token_pb2.Connection, account: account_pb2.AccountMetrics) -> dict[str, Any]:
    """Return whether an account is connected, and what is known of it; nothing of one that was let go."""
    if connection.status in GONE:
        connection, account = token_pb2.Connection(), account_pb2.AccountMetrics()
    return {
        "isConnected": connection.status in LIVE,
        "openId": connection.account_id or None,
        "username": value_or_none(account, "username"),
        "displayName": value_or_none(account, "display_name"),
        "avatarUrl": value_or_none(account, "avatar_url"),
        "connectedAt": time_or_none(connection, "connect_time"),
        "lastSyncAt": time_or_none(account, "last_sync_time"),
    }


def metrics(account: account_pb2.AccountMetrics) -> dict[str, Any]:
    """Return the figures of an account."""
    return {
        "followerCount": value_or_none(account, "follower_count"),
        "followingCount": value_or_none(account, "following_count"),
        "likeCount": value_or_none(account, "likes_count"),
        "videoCount": value_or_none(account, "video_count"),
        "lastSyncAt": time_or_none(account, "last_sync_time"),
    }
