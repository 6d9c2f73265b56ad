"""What TikTok tells an app of its own accord: the bodies of both families' webhooks."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.grants import Provider
from sandbox.sellers import Seller

REMOVED = "authorization.removed"
SELLER_DEAUTHORIZED, UPCOMING_EXPIRATION, CREATOR_DEAUTHORIZED = 6, 7, 20
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """One webhook: its body, and whom it is about."""

    provider: Provider
    event: str
    about: str
    body: bytes


def login_notice(client_key: str, event: str, open_id: str, content: Json, at: int) -> Notice:
    """Return a webhook of TikTok for Developers; its content is a JSON string inside JSON."""
    body = {
        "client_key": client_key,
        "event": event,
        "create_time": at,
        "user_openid": open_id,
        "content": json.dumps(content),
    }
    return Notice("login", event, open_id, _compact(body))


def shop_notices(seller: Seller, kind: int, at: int, data_of: Callable[[str], Json] | None = None) -> list[Notice]:
    """Return webhooks of TikTok Shop, one for each shop; a creator's names the creator instead."""
    named = "shop_id" if seller.shops else "creator_open_id"
    return [
        _shop_notice(
            kind, about, {named: about, "timestamp": at, "data": data_of(about) if data_of else _usual(kind, about, at)}
        )
        for about in ([shop.id for shop in seller.shops] or [seller.open_id])
    ]


def _shop_notice(kind: int, about: str, rest: Json) -> Notice:
    number = f"7{secrets.randbelow(10**18):018d}"
    return Notice("shop", str(kind), about, _compact({"type": kind, "tts_notification_id": number, **rest}))


def _usual(kind: int, about: str, at: int) -> Json:
    if kind == SELLER_DEAUTHORIZED:
        return {"message": f"Shop_id {about} is deauthorized from your APP by merchant."}
    return {"cancel_time": str(at)} if kind == CREATOR_DEAUTHORIZED else {}


def expiration(shop_id: str, expires: int, at: int) -> Json:
    """Return the data of an upcoming expiration; both times in Unix seconds."""
    days = max(0, expires - at) // 86_400
    return {
        "message": f"Authorization of shop_id {shop_id} is expiring in {days} days. "
        "Please direct the merchant to re-authorize.",
        "expiration_time": str(expires),
    }


def _compact(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
