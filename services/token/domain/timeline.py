"""What can happen to a connection, and how it is told to people."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    """What happened."""

    CONNECTED = "CONNECTED"
    IMPORTED = "IMPORTED"
    REFRESH_INTENT = "REFRESH_INTENT"
    REFRESHED = "REFRESHED"
    REFRESH_FAILED = "REFRESH_FAILED"
    SUSPECT = "SUSPECT"
    REAUTH_REQUIRED = "REAUTH_REQUIRED"
    DISCONNECTED = "DISCONNECTED"
    SHOPS_LEARNT = "SHOPS_LEARNT"
    SHOP_REMOVED = "SHOP_REMOVED"
    EXPIRY_ANNOUNCED = "EXPIRY_ANNOUNCED"
    DOUBLE_SPEND = "DOUBLE_SPEND"


class DoubleSpend(StrEnum):
    """How a refresh token was seen to be spent by somebody who should not have spent it."""

    PRESENTED_TOO_OFTEN = "presented_too_often"
    SUPERSEDED_PRESENTED = "superseded_presented"
    REFUSED_WHILE_CURRENT = "refused_while_current"
    ANSWERS_DIFFER = "answers_differ"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened to a connection; generation is the one spent by an intent, else the one in use after."""

    id: int
    connection_id: UUID
    at: datetime
    kind: Kind
    epoch: int
    generation: int
    reason: str
    replica: str
    request_id: str
    actor: str

    def told(self) -> str:
        """Return what happened as a sentence."""
        told = SENTENCES[self.kind].format(generation=self.generation, why=why(self.reason))
        return f"{told} They may do less than before." if self.reason == "scope_reduced" else told


SENTENCES = {
    Kind.CONNECTED: "The account was connected.",
    Kind.IMPORTED: "Its tokens were taken over from elsewhere.",
    Kind.REFRESH_INTENT: "A refresh began: the refresh token of generation {generation} went to TikTok.",
    Kind.REFRESHED: "TikTok gave new tokens: generation {generation} is in use.",
    Kind.REFRESH_FAILED: "The refresh brought nothing: {why}. The stored tokens stay.",
    Kind.SUSPECT: "The connection is in doubt: {why}.",
    Kind.REAUTH_REQUIRED: "The account must be connected again: {why}.",
    Kind.DISCONNECTED: "The account was disconnected: {why}.",
    Kind.SHOPS_LEARNT: "TikTok told the shops of the grant: {why}.",
    Kind.SHOP_REMOVED: "Shop {why} was taken out of the grant by its seller.",
    Kind.EXPIRY_ANNOUNCED: "TikTok announced that {why}.",
    Kind.DOUBLE_SPEND: "The refresh token of generation {generation} may have been spent twice: {why}.",
}

REASONS = {
    "": "no reason was given",
    "merged": "another connection of the account keeps its own tokens, and this one has ended",
    "refused": "TikTok refused the refresh token",
    "lost_response": "TikTok's answer to a refresh was lost, and it may have rotated the token",
    "unreadable": "the stored token does not open with the keys at hand",
    "expiring": "the owner's consent ends soon",
    "removed_by_user": "its owner removed the app at TikTok",
    "account_deleted": "the TikTok account was deleted",
    "age_changed": "the age of the account's owner was changed at TikTok",
    "account_banned": "TikTok banned the account",
    "revoked_by_developer": "the app gave the authorization back",
    "unknown": "TikTok ended the authorization and did not say why",
    "holder_missing": "TikTok refused a token that another process had presented, and that process is waited for",
    "put_back": "its row was replaced by an older one, and the journals are searched for its newer tokens",
    "presented_too_often": "it went to TikTok again and again and no answer came back",
    "superseded_presented": "a process presented it after another one had exchanged it for a newer one",
    "refused_while_current": (
        "TikTok refused it though it is the newest and nobody here has spent it; another system may be using it, "
        "or the owner took the consent back"
    ),
    "answers_differ": "two processes hold different tokens in exchange for the one before it",
    "UPSTREAM_UNAVAILABLE": "TikTok could not be reached or could not answer",
    "UPSTREAM_RATE_LIMITED": "TikTok asked to slow down",
    "UPSTREAM_BAD_RESPONSE": "TikTok's answer could not be understood",
    "SERVER_MISCONFIG": "TikTok refuses the app's own key or secret",
}


def why(reason: str) -> str:
    """Return a reason in words; one without words stands for itself."""
    return REASONS.get(reason, reason)
