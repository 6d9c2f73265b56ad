"""Events of TikTok for Developers: signed with a time, and with JSON inside JSON."""

from datetime import UTC, datetime
from types import MappingProxyType

from libs.errors import InvalidField, Unauthenticated
from libs.secret import Secret
from libs.tiktok.webhooks import login_signature
from services.token.adapters.event_bodies import LATEST, Body, body_of, fingerprint, moment, shown, text
from services.token.domain.connection import Provider, Why
from services.token.domain.provider_event import AccountRemoved, ProviderEvent

REMOVED = "authorization.removed"
REASONS = MappingProxyType(
    {
        1: Why.REMOVED_BY_USER,
        2: Why.ACCOUNT_DELETED,
        3: Why.AGE_CHANGED,
        4: Why.ACCOUNT_BANNED,
        5: Why.REVOKED_BY_DEVELOPER,
    }
)


class LoginKitEvents:
    """Implements EventReader."""

    def __init__(self, *, secret: Secret) -> None:
        self._secret = secret

    def read(self, body: bytes, signature: str) -> ProviderEvent:
        """Return the event of a webhook."""
        signed_at = self._verified(body, signature)
        told = body_of(body)
        name = text(told, "event")
        removed = AccountRemoved(account_id=text(told, "user_openid"), why=why(told)) if name == REMOVED else None
        return ProviderEvent(
            provider=Provider.LOGIN_KIT,
            key=fingerprint(body),
            name=shown(name),
            at=moment(told, "create_time"),
            change=removed,
            signed_at=signed_at,
        )

    def _verified(self, body: bytes, header: str) -> datetime:
        signature = login_signature(header)
        if signature is None or not signature.fits(self._secret, body):
            raise Unauthenticated("The signature is not one of this app for this body.")
        return datetime.fromtimestamp(min(int(signature.at), LATEST), UTC)


def why(told: Body) -> Why:
    """Return why an authorization ended; it has ended whether or not that can be read."""
    try:
        number = body_of(text(told, "content").encode()).get("reason")
    except (InvalidField, UnicodeEncodeError):
        return Why.UNKNOWN
    return REASONS.get(number, Why.UNKNOWN) if isinstance(number, int) else Why.UNKNOWN
