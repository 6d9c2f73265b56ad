"""A refresh of many connections: which it takes in, what is decided for each, and how each ended."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from libs.errors import Reason
from services.token.domain.connection import DUE_WITHIN, Connection, Provider, Status


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The connections a run takes in, and when one of them is due: below within seconds, or always when forced."""

    provider: Provider | None = None
    team_id: int | None = None
    force: bool = False
    within: float = DUE_WITHIN

    @property
    def key(self) -> str:
        """What two runs have in common when they are the same."""
        when = "force" if self.force else f"{self.within:g}"
        return f"{self.provider or '*'}/{'*' if self.team_id is None else self.team_id}/{when}"


class Outcome(StrEnum):
    """How a connection's part of a run ended."""

    REFRESHED = "REFRESHED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


NOT_DUE = "NOT_DUE"
WOULD_REFRESH = "WOULD_REFRESH"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A connection as a run meets it; complete says that both of its tokens are there."""

    connection: Connection
    complete: bool


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one connection's part ended: reason is a word for programs, message a sentence for people."""

    connection_id: UUID
    outcome: Outcome
    reason: str = ""
    message: str = ""
    access_expires_at: datetime
    seconds_left: float


@dataclass(frozen=True, kw_only=True)
class Told:
    """An ended part, with the connection as it is when it is told."""

    ended: Ended
    connection: Connection


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many connections ended how, or would have, when it is only rehearsed."""

    refreshed: int = 0
    skipped: int = 0
    failed: int = 0
    rehearsed: bool = False

    @property
    def total(self) -> int:
        """All that ended."""
        return self.refreshed + self.skipped + self.failed

    def with_one(self, outcome: Outcome) -> "Tally":
        """Return the tally with one more."""
        return replace(
            self,
            refreshed=self.refreshed + (outcome is Outcome.REFRESHED),
            skipped=self.skipped + (outcome is Outcome.SKIPPED),
            failed=self.failed + (outcome is Outcome.FAILED),
        )


def decide(candidate: Candidate, scope: Scope) -> Ended | None:
    """Return how a connection's part ends without a refresh, or None when it is to be refreshed."""
    connection = candidate.connection
    if obstacle := obstacle_to(candidate):
        return part_of(connection, Outcome.FAILED, Reason.REAUTH_REQUIRED, f"{obstacle}: connect the account again.")
    if not scope.force and connection.seconds_left >= min(scope.within, connection.access_life / 2):
        left = f"{connection.seconds_left / 3600:.1f} hours are left of the access token."
        return part_of(connection, Outcome.SKIPPED, NOT_DUE, left)
    return None


def obstacle_to(candidate: Candidate) -> str:
    """Return why a connection cannot be refreshed, or an empty text."""
    connection = candidate.connection
    if connection.status is Status.REAUTH_REQUIRED:
        return "TikTok no longer accepts this connection"
    if not candidate.complete:
        return "A token of this connection is missing"
    if connection.refresh_expires_at and seconds_to(connection.refresh_expires_at, connection) <= 0:
        return "The refresh token has expired"
    return ""


def seconds_to(moment: datetime, connection: Connection) -> float:
    """Return the seconds until a moment, by the clock that the connection was read by."""
    return connection.seconds_left + (moment - connection.access_expires_at).total_seconds()


def part_of(connection: Connection, outcome: Outcome, reason: str = "", message: str = "") -> Ended:
    """Return how a connection's part ended, with what is left of its token."""
    return Ended(
        connection_id=connection.id,
        outcome=outcome,
        reason=reason,
        message=message,
        access_expires_at=connection.access_expires_at,
        seconds_left=connection.seconds_left,
    )
