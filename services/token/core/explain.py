"""Says how a connection stands, what happens to it next and when, and what has happened to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from services.token.core.directory import Directory
from services.token.domain.connection import Connection, Reference, Status, Why
from services.token.domain.timeline import Event, why

DEFAULT_PAGE = 50


class Decision(StrEnum):
    """How a connection stands now."""

    HEALTHY = "HEALTHY"
    REFRESH_DUE = "REFRESH_DUE"
    WAITING = "WAITING"
    NEEDS_CONSENT = "NEEDS_CONSENT"
    DISCONNECTED = "DISCONNECTED"


class NextAction(StrEnum):
    """What happens next to a connection."""

    REFRESH = "REFRESH"
    CONNECT_AGAIN = "CONNECT_AGAIN"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A decision, what follows from it and when (None: when a person acts), and both in words."""

    decision: Decision
    action: NextAction
    at: datetime | None
    words: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A connection, the verdict on it, and a page of its timeline, newest first."""

    connection: Connection
    verdict: Verdict
    events: Sequence[Event]
    following: int | None


class TimelinePort(Protocol):
    """Rows of events."""

    async def newest(self, connection_id: UUID, before: int | None, size: int) -> Sequence[Event]:
        """Return up to size events of a connection with an id below `before`, newest first."""
        ...


class Explainer:
    """Answers why a connection is as it is."""

    def __init__(self, *, directory: Directory, timeline: TimelinePort) -> None:
        self._directory = directory
        self._timeline = timeline

    async def explain(self, reference: Reference, before: int | None, size: int) -> Explanation:
        """Return the verdict and a page of the timeline; raise ConnectionNotFound."""
        size = size or DEFAULT_PAGE
        connection = await self._directory.get(reference)
        events = await self._timeline.newest(connection.id, before, size + 1)
        following = events[size - 1].id if len(events) > size else None
        return Explanation(
            connection=connection, verdict=verdict_on(connection), events=events[:size], following=following
        )


def verdict_on(connection: Connection) -> Verdict:
    """Return how a connection stands by the rules that refreshes follow."""
    if connection.status is Status.DISCONNECTED:
        cause = why(connection.reason) if connection.reason else "somebody here asked for it"
        return broken(Decision.DISCONNECTED, f"The account is disconnected: {cause}.")
    now = connection.access_expires_at - timedelta(seconds=connection.seconds_left)
    if lost := what_is_lost(connection, now):
        return broken(Decision.NEEDS_CONSENT, f"The account must give its consent again: {lost}.")
    if connection.retry_in > 0:
        at = now + timedelta(seconds=connection.retry_in)
        words = f"A refresh was tried a moment ago; the next one is allowed from {spoken(at)} on."
        return Verdict(decision=Decision.WAITING, action=NextAction.REFRESH, at=at, words=words)
    if connection.needs_refresh:
        words = (
            f"The access token ends at {spoken(connection.access_expires_at)}: it is refreshed now, or when it is used."
        )
        return Verdict(decision=Decision.REFRESH_DUE, action=NextAction.REFRESH, at=now, words=words)
    due = connection.access_expires_at - timedelta(seconds=connection.access_life / 2)
    words = f"The access token works until {spoken(connection.access_expires_at)}"
    if connection.status is Status.SUSPECT:
        words = f"The refresh token is in doubt: {why(connection.reason)}. {words}; the refresh from {spoken(due)} on "
        return Verdict(
            decision=Decision.WAITING, action=NextAction.REFRESH, at=due, words=f"{words}shows what is left."
        )
    words = f"{words}; it is refreshed from {spoken(due)} on."
    return Verdict(decision=Decision.HEALTHY, action=NextAction.REFRESH, at=due, words=words + warning(connection))


def what_is_lost(connection: Connection, now: datetime) -> str:
    """Return why a connection needs its owner's consent again; empty when it does not."""
    if connection.status is Status.REAUTH_REQUIRED:
        return why(connection.reason)
    if connection.status is Status.SUSPECT and connection.reason == Why.UNREADABLE:
        return f"{why(connection.reason)}; look at TOKEN_ENC_KEYS first"
    ended = connection.refresh_expires_at
    return f"it ran out at {spoken(ended)}" if ended and ended <= now else ""


def warning(connection: Connection) -> str:
    """Return what its owner should do before long; empty when that is nothing."""
    if connection.reason == Why.SCOPE_REDUCED:
        return " TikTok has taken back some of what its owner had granted: connect it again to have that back."
    if connection.reason != Why.EXPIRING or connection.refresh_expires_at is None:
        return ""
    return f" The owner's consent ends at {spoken(connection.refresh_expires_at)}: connect it again before that."


def broken(decision: Decision, words: str) -> Verdict:
    """Return the verdict on a connection that only its owner can mend."""
    words = f"{words} Connect it again to use it."
    return Verdict(decision=decision, action=NextAction.CONNECT_AGAIN, at=None, words=words)


def spoken(moment: datetime) -> str:
    """Return a time for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
