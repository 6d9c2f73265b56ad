"""A connection: one grant of one TikTok account to one owner, without its secrets."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.token.domain.shop import Shop

DUE_WITHIN = 24 * 3600.0  # seconds; and never more than half of a token's life

UNTOLD = "import:"  # what the name of an account begins with until a refresh has told it


class Provider(StrEnum):
    """The product whose consent made the connection."""

    LOGIN_KIT = "login_kit"
    TIKTOK_SHOP = "tiktok_shop"


class OwnerKind(StrEnum):
    """What an owner is."""

    STORE = "store"
    USER = "user"


class Status(StrEnum):
    """How a connection stands."""

    ACTIVE = "ACTIVE"
    SUSPECT = "SUSPECT"
    REAUTH_REQUIRED = "REAUTH_REQUIRED"
    DISCONNECTED = "DISCONNECTED"


class Why(StrEnum):
    """Why a connection stands as it does."""

    REFUSED = "refused"
    LOST_RESPONSE = "lost_response"
    UNREADABLE = "unreadable"
    SCOPE_REDUCED = "scope_reduced"
    HOLDER_MISSING = "holder_missing"
    PUT_BACK = "put_back"
    EXPIRING = "expiring"
    REMOVED_BY_USER = "removed_by_user"
    ACCOUNT_DELETED = "account_deleted"
    AGE_CHANGED = "age_changed"
    ACCOUNT_BANNED = "account_banned"
    REVOKED_BY_DEVELOPER = "revoked_by_developer"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whom a connection belongs to."""

    kind: OwnerKind
    id: str

    def masked(self) -> str:
        """Return enough of the owner to recognise one's own, too little to learn another's."""
        return f"{self.kind} {self.id[:2]}***"


@dataclass(frozen=True, kw_only=True)
class ById:
    """Names a connection by its UUID."""

    id: UUID


@dataclass(frozen=True, kw_only=True)
class ByOwner:
    """Names a connection by provider and owner."""

    provider: Provider
    owner: Owner


Reference = ById | ByOwner


@dataclass(frozen=True, kw_only=True, order=True)
class Version:
    """Which tokens a row holds: epoch moves at connect and disconnect, generation at every new pair of tokens.

    The older version is the lesser one.
    """

    epoch: int
    generation: int

    def refreshed(self) -> "Version":
        """Return the version after a refresh."""
        return Version(epoch=self.epoch, generation=self.generation + 1)

    def disconnected(self) -> "Version":
        """Return the version after a disconnect."""
        return Version(epoch=self.epoch + 1, generation=self.generation)

    def connected(self) -> "Version":
        """Return the version after a new connect; generations go on counting, so that none means two tokens."""
        return Version(epoch=self.epoch + 1, generation=self.generation + 1)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A connection as it was read; seconds_left is by the database's clock at that moment."""

    id: UUID
    number: int
    provider: Provider
    owner: Owner
    team_id: int
    account_id: str
    status: Status
    reason: str
    scopes: tuple[str, ...]
    version: Version
    access_expires_at: datetime
    refresh_expires_at: datetime | None
    access_life: float
    seconds_left: float
    retry_in: float
    connected_at: datetime
    updated_at: datetime
    shops: tuple[Shop, ...] = ()

    @property
    def read_at(self) -> datetime:
        """Return when it was read, by the database's clock."""
        return self.access_expires_at - timedelta(seconds=self.seconds_left)

    @property
    def can_refresh(self) -> bool:
        """True while a refresh may be tried."""
        return self.status in (Status.ACTIVE, Status.SUSPECT)

    @property
    def needs_refresh(self) -> bool:
        """True when less than a day, and less than half of its life, are left of the access token."""
        return self.can_refresh and self.seconds_left < min(DUE_WITHIN, self.access_life / 2)


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a caller needs of an access token: min_ttl seconds of life, and another generation than the spent one."""

    min_ttl: float
    spent_generation: int | None = None

    def met_by(self, connection: Connection, age: float = 0.0) -> bool:
        """Return whether the access token will do, read age seconds ago; no more than half of its life is asked for."""
        return (
            connection.can_refresh
            and connection.seconds_left - age >= min(self.min_ttl, connection.access_life / 2)
            and connection.version.generation != self.spent_generation
        )

    def settled_by(self, connection: Connection, seen: Version) -> bool:
        """Return whether the need is met, or a token that lives is newer than the one seen: none newer is to be had."""
        is_newer = connection.version.generation > seen.generation and connection.seconds_left > 0
        return self.met_by(connection) or (connection.can_refresh and is_newer)
