"""A user's TikTok Shop as JSON."""

from typing import Any

from tokhub.token.v1 import token_pb2

from services.gateway.shapes.stores import LIVE
from services.gateway.shapes.times import time_or_none


def only_shop(connection: token_pb2.Connection) -> dict[str, Any]:
    """Return the id, name and region of the connection's shop, null while TikTok has not told them."""
    shop = connection.shops[0] if connection.shops else token_pb2.Shop()
    return {"shopId": shop.id or None, "shopName": shop.name or None, "region": shop.region or None}


def shop(connection: token_pb2.Connection) -> dict[str, Any]:
    """Return the shop of a connection."""
    return {
        **only_shop(connection),
        "isActive": connection.status in LIVE,
        "createdAt": time_or_none(connection, "connect_time"),
        "updatedAt": time_or_none(connection, "update_time"),
    }


def shop_status(connection: token_pb2.Connection | None) -> dict[str, Any]:
    """Return whether a user's shop is connected."""
    found = only_shop(connection or token_pb2.Connection())
    connected = connection is not None and connection.status in LIVE
    return {"isConnected": connected, "shopId": found["shopId"], "shopName": found["shopName"]}
