"""What an error page says, by reason; never a word that came with the request."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from libs.errors import Reason


@dataclass(frozen=True)
class Text:
    """What went wrong, and what to do."""

    problem: str
    advice: str


# A state works once, and it may be spent whatever failed after it: reloading the page never helps.
START_AGAIN = "Start again from a new connect link"
APPROVE = f"{START_AGAIN}, and approve on TikTok's page."
WAIT = f"Wait a minute. {START_AGAIN}."
SUPPORT = "Please try again or contact support. Reloading this page does not help: start again from a new connect link."

TEXTS: Mapping[Reason, Text] = MappingProxyType(
    {
        Reason.STORE_NOT_FOUND: Text("Store not found", "Check the connect link, or ask for a new one."),
        Reason.INVALID_FIELD: Text(
            "This link cannot be used: it is incomplete, has been changed, or TikTok no longer accepts it",
            f"{START_AGAIN}.",
        ),
        Reason.STATE_INVALID: Text(
            "Invalid state parameter (possible CSRF attack)",
            f"{START_AGAIN}, and finish in the same browser within ten minutes.",
        ),
        Reason.STATE_EXPIRED: Text("This connect link has expired", APPROVE),
        Reason.STATE_REUSED: Text(
            "This connect link was used already", f"If the account is not connected yet: {START_AGAIN.lower()}."
        ),
        Reason.AUTHORIZATION_DENIED: Text("The connection was declined on TikTok's page", APPROVE),
        Reason.SCOPE_MISSING: Text(
            "A required permission was not granted", f"{START_AGAIN}, and leave every permission switched on."
        ),
        Reason.ACCOUNT_ALREADY_CONNECTED: Text(
            "Another TikTok account or another owner is connected here already",
            "Sign in to TikTok with the account of this store, or have the other connection removed first. "
            f"{START_AGAIN}.",
        ),
        Reason.RATE_LIMITED: Text("Too many attempts", WAIT),
        Reason.UPSTREAM_RATE_LIMITED: Text("TikTok is busy", WAIT),
        Reason.UPSTREAM_UNAVAILABLE: Text("TikTok cannot be reached at the moment", SUPPORT),
        Reason.UPSTREAM_BAD_RESPONSE: Text("TikTok gave an answer that cannot be used", SUPPORT),
        Reason.STORAGE_UNAVAILABLE: Text("The connection cannot be saved at the moment", SUPPORT),
    }
)
FALLBACK = Text("Something went wrong on our side", SUPPORT)


def text_for(reason: Reason) -> Text:
    """Return what the page for a reason says."""
    return TEXTS.get(reason, FALLBACK)
