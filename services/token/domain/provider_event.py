"""What a provider tells of its own accord, and what it changes here."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.token.domain.connection import Connection, Provider, Why


@dataclass(frozen=True, kw_only=True)
class AccountRemoved:
    """The person ended the grant of an account."""

    account_id: str
    why: Why


@dataclass(frozen=True, kw_only=True)
class ShopRemoved:
    """The seller took a shop away from the app."""

    shop_id: str


@dataclass(frozen=True, kw_only=True)
class ExpiryAnnounced:
    """The seller's consent for a shop ends soon; ends_at is in Unix seconds."""

    shop_id: str
    ends_at: int


Change = AccountRemoved | ShopRemoved | ExpiryAnnounced


@dataclass(frozen=True, kw_only=True)
class ProviderEvent:
    """An event whose signature was right; the same key again is the same event, no change is nothing to do.

    signed_at is when, by the provider's clock, of signatures that say so.
    """

    provider: Provider
    key: str
    name: str
    at: datetime
    change: Change | None
    signed_at: datetime | None = None


class EventOutcome(StrEnum):
    """What became of an event."""

    APPLIED = "APPLIED"
    REPEATED = "REPEATED"
    IGNORED = "IGNORED"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What an event did, and the connection as it left it."""

    outcome: EventOutcome
    connection: Connection | None = None
