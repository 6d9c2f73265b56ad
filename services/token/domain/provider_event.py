"""What a provider tells of its own accord, and what it changes here."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from libs.errors import Unauthenticated
from services.token.domain.connection import Connection, Provider, Why

# No official tolerance: five minutes either way is usual.
TOLERANCE = timedelta(minutes=5)


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

    def require_recent(self, now: datetime) -> None:
        """Raise Unauthenticated for a signature of another time; now is by the database's clock."""
        if self.signed_at and abs(now - self.signed_at) > TOLERANCE:
            raise Unauthenticated(
                "The signature is more than five minutes away from the database's time: it is a replay, "
                "unless the clock is wrong."
            )


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
