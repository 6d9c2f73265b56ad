"""Events of TikTok Shop: signed without a time, so that only their number tells a replay."""

from enum import IntEnum

from libs.errors import InvalidField, Unauthenticated
from libs.secret import Secret
from libs.tiktok.webhooks import shop_signature_fits
from services.token.adapters.event_bodies import Body, body_of, fingerprint, moment, shown, text, unix_time
from services.token.domain.connection import Provider, Why
from services.token.domain.provider_event import AccountRemoved, Change, ExpiryAnnounced, ProviderEvent, ShopRemoved

LONGEST_NUMBER = 128


class Type(IntEnum):
    """The types that change something here."""

    SELLER_DEAUTHORIZED = 6
    UPCOMING_EXPIRATION = 7
    CREATOR_DEAUTHORIZED = 20


class ShopEvents:
    """Implements EventReader."""

    def __init__(self, *, app_key: str, secret: Secret) -> None:
        self._app_key = app_key
        self._secret = secret

    def read(self, body: bytes, signature: str) -> ProviderEvent:
        """Return the event of a webhook."""
        if not shop_signature_fits(self._app_key, self._secret, body, signature):
            raise Unauthenticated("The signature is not one of this app for this body.")
        told = body_of(body)
        kind = told.get("type")
        if not isinstance(kind, int) or isinstance(kind, bool):
            raise InvalidField("type", "must be a number")
        return ProviderEvent(
            provider=Provider.TIKTOK_SHOP,
            key=number_of(told) or fingerprint(body),
            name=shown(f"type {kind}"),
            at=moment(told, "timestamp"),
            change=change_of(kind, told),
        )


def number_of(told: Body) -> str:
    """Return the notification's number; empty for those that came without one before 2023."""
    number = told.get("tts_notification_id")
    return number if isinstance(number, str) and number.isprintable() and len(number) <= LONGEST_NUMBER else ""


def change_of(kind: int, told: Body) -> Change | None:
    """Return what an event of this type changes."""
    match kind:
        case Type.SELLER_DEAUTHORIZED:
            return ShopRemoved(shop_id=text(told, "shop_id"))
        case Type.UPCOMING_EXPIRATION:
            data = told.get("data")
            if not isinstance(data, dict):
                raise InvalidField("data", "must be an object")
            return ExpiryAnnounced(shop_id=text(told, "shop_id"), ends_at=unix_time(data, "expiration_time"))
        case Type.CREATOR_DEAUTHORIZED:
            return AccountRemoved(account_id=text(told, "creator_open_id"), why=Why.REMOVED_BY_USER)
        case _:
            return None
