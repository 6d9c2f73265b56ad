"""What an error page says, by reason and cause; never a word that came with the request."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from libs.errors import InvalidField, Reason, TokhubError


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
        Reason.STORE_NOT_FOUND: Text(
            "Store not found", "There is no store with the store_code of this link. Check it, or ask for a new link."
        ),
        Reason.INVALID_FIELD: Text(
            "This link cannot be used: it is incomplete, has been changed, or TikTok no longer accepts it",
            f"{START_AGAIN}.",
        ),
        Reason.STATE_INVALID: Text(
            "Invalid state parameter (possible CSRF attack)",
            f"{START_AGAIN}, and finish in the same browser within ten minutes. "
            "Of several tabs, only the one that was opened last can finish.",
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
            "Another TikTok account is connected here already",
            f"Sign in to TikTok with that account, or ask the operator for a link that may replace it. {START_AGAIN}.",
        ),
        Reason.SHOP_CHOICE_REQUIRED: Text(
            "This seller has several shops, and one of them must be chosen",
            "Go back to where you started, begin again there, and choose a shop.",
        ),
        # Nothing was spent: the request was refused before anybody looked at it.
        Reason.RATE_LIMITED: Text("Too many attempts", "Nothing is lost."),
        Reason.UPSTREAM_RATE_LIMITED: Text("TikTok is busy", WAIT),
        Reason.UPSTREAM_UNAVAILABLE: Text("TikTok cannot be reached at the moment", SUPPORT),
        Reason.UPSTREAM_BAD_RESPONSE: Text("TikTok gave an answer that cannot be used", SUPPORT),
        Reason.STORAGE_UNAVAILABLE: Text("The connection cannot be saved at the moment", SUPPORT),
    }
)
FALLBACK = Text("Something went wrong on our side", SUPPORT)
WRONG_STORE_CODE = Text(
    "This link names no store: its store_code is missing or not valid",
    "The address must end in store_code= and the code of the store: 1-50 letters, digits, underscores and hyphens. "
    "Correct it, or ask for a new link.",
)


def text_for(error: TokhubError) -> Text:
    """Return what the page for an error says."""
    if isinstance(error, InvalidField) and error.field == "store_code":
        return WRONG_STORE_CODE
    if error.reason is Reason.ACCOUNT_ALREADY_CONNECTED and (owner := error.metadata.get("owner")):
        return connected_elsewhere(owner)
    return TEXTS.get(error.reason, FALLBACK)


def connected_elsewhere(owner: str) -> Text:
    """Return what is said of an account that another owner has; the owner's name is masked."""
    return Text(
        f"This TikTok account is connected to another owner already ({owner})",
        f"Sign in to TikTok with another account, or have it disconnected there first. {START_AGAIN}.",
    )
