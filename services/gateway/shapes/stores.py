"""Stores and their accounts as JSON."""

from typing import Any

from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from libs.standing import connection_status
from services.gateway.shapes.optional import value_or_none
from services.gateway.shapes.times import time_or_none

LIVE = frozenset({token_pb2.CONNECTION_STATUS_ACTIVE, token_pb2.CONNECTION_STATUS_SUSPECT})


def has_valid_token(connection: token_pb2.Connection) -> bool:
    """Return whether a token can be had: a doubtful connection still has the one that has not ended."""
    if connection.status == token_pb2.CONNECTION_STATUS_SUSPECT:
        return connection.hours_left > 0
    return connection.status == token_pb2.CONNECTION_STATUS_ACTIVE


def store_entry(store: sync_pb2.Store) -> dict[str, Any]:
    """Return a store as it was entered."""
    return {
        "storeCode": store.store_code,
        "storeName": store.store_name,
        "picName": store.pic_name,
        "picContact": value_or_none(store, "pic_contact"),
        "createdAt": time_or_none(store, "create_time"),
    }


def store_detail(store: sync_pb2.Store, connection: token_pb2.Connection | None) -> dict[str, Any]:
    """Return a store with its connection and newest statistics."""
    return {
        **store_entry(store),
        "connectionStatus": connection_status(connection),
        "accountId": connection.number if connection else None,
        "accountIdentifier": connection.account_id if connection else None,
        "connectedAt": time_or_none(connection, "connect_time") if connection else None,
        "lastSyncTime": time_or_none(store, "last_sync_time"),
        "tokenExpiresAt": time_or_none(connection, "access_expire_time") if connection else None,
        "latestUserStats": latest_user(store) if store.HasField("latest_user_stats") else None,
        "latestVideoStats": latest_video(store) if store.HasField("latest_video_stats") else None,
    }


def latest_user(store: sync_pb2.Store) -> dict[str, Any]:
    """Return the newest account statistics."""
    latest = store.latest_user_stats
    return {
        "followerCount": value_or_none(latest, "follower_count"),
        "likesCount": value_or_none(latest, "likes_count"),
        "videoCount": value_or_none(latest, "video_count"),
    }


def latest_video(store: sync_pb2.Store) -> dict[str, Any]:
    """Return the newest video statistics."""
    latest = store.latest_video_stats
    return {"totalVideos": latest.total_videos, "totalViews": latest.total_views}


def account(connection: token_pb2.Connection, store: sync_pb2.Store) -> dict[str, Any]:
    """Return a store's TikTok account."""
    return {
        "id": connection.number,
        "storeCode": store.store_code,
        "platform": "tiktok",
        "hasValidToken": has_valid_token(connection),
        "accountIdentifier": connection.account_id,
        "lastSyncAt": time_or_none(store, "last_sync_time"),
        "createdAt": time_or_none(connection, "connect_time"),
        "updatedAt": time_or_none(connection, "update_time"),
    }
