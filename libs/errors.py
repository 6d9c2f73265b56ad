"""Errors typed by what the caller can do about them; each carries data, and its docstring is its default message.

TokhubError
├── WrongRequest     fix the request
│   ├── InvalidField, StoreNotFound, ConnectionNotFound, RunNotFound
│   ├── StoreExists, AccountAlreadyConnected, RunAlreadyActive
│   ├── StateInvalid, StateExpired, StateReused
│   ├── KeyNotReady, ShopChoiceRequired
│   └── Unauthenticated, NotAllowed
├── NeedsConsent     send the person to TikTok
│   └── ReauthRequired, ScopeMissing, AuthorizationDenied
├── TryLater         wait retry_after seconds
│   ├── RefreshInProgress, StorageUnavailable
│   ├── UpstreamUnavailable, UpstreamRateLimited
│   └── RateLimited, LockedOut, DeadlineExceeded
└── GiveUp           report it
    ├── UpstreamBadResponse, UpstreamResponseTooLarge, UpstreamCursorLoop
    └── LostResponse, ServerMisconfig, Internal
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """The closed set of reasons that cross the wire in ErrorInfo."""

    STORE_NOT_FOUND = "STORE_NOT_FOUND"
    STORE_EXISTS = "STORE_EXISTS"
    CONNECTION_NOT_FOUND = "CONNECTION_NOT_FOUND"
    ACCOUNT_ALREADY_CONNECTED = "ACCOUNT_ALREADY_CONNECTED"
    REAUTH_REQUIRED = "REAUTH_REQUIRED"
    REFRESH_IN_PROGRESS = "REFRESH_IN_PROGRESS"
    SCOPE_MISSING = "SCOPE_MISSING"
    STATE_INVALID = "STATE_INVALID"
    STATE_EXPIRED = "STATE_EXPIRED"
    STATE_REUSED = "STATE_REUSED"
    KEY_NOT_READY = "KEY_NOT_READY"
    SHOP_CHOICE_REQUIRED = "SHOP_CHOICE_REQUIRED"
    AUTHORIZATION_DENIED = "AUTHORIZATION_DENIED"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    UPSTREAM_RATE_LIMITED = "UPSTREAM_RATE_LIMITED"
    UPSTREAM_BAD_RESPONSE = "UPSTREAM_BAD_RESPONSE"
    UPSTREAM_RESPONSE_TOO_LARGE = "UPSTREAM_RESPONSE_TOO_LARGE"
    UPSTREAM_CURSOR_LOOP = "UPSTREAM_CURSOR_LOOP"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    LOST_RESPONSE = "LOST_RESPONSE"
    RUN_ALREADY_ACTIVE = "RUN_ALREADY_ACTIVE"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    INVALID_FIELD = "INVALID_FIELD"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    NOT_ALLOWED = "NOT_ALLOWED"
    RATE_LIMITED = "RATE_LIMITED"
    LOCKED_OUT = "LOCKED_OUT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    SERVER_MISCONFIG = "SERVER_MISCONFIG"
    INTERNAL = "INTERNAL"


class TokhubError(Exception):
    """Something went wrong."""

    reason: ClassVar[Reason] = Reason.INTERNAL

    def __init__(self, message: str = "", *, metadata: Mapping[str, str] | None = None) -> None:
        """Say what happened, to what, and what to do next; metadata is data for programs, without secrets."""
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.metadata: dict[str, str] = dict(metadata or {})

    @property
    def message(self) -> str:
        """The text for people."""
        return str(self.args[0])


class WrongRequest(TokhubError):
    """The request cannot be carried out as it is."""


class InvalidField(WrongRequest):
    """A field of the request is invalid."""

    reason = Reason.INVALID_FIELD

    def __init__(self, field: str, description: str) -> None:
        """Name the field by its path in the request."""
        super().__init__(f"{field} {description}", metadata={"field": field})
        self.field = field
        self.description = description


class StoreNotFound(WrongRequest):
    """Store not found."""

    reason = Reason.STORE_NOT_FOUND


class ConnectionNotFound(WrongRequest):
    """No such connection: connect the account first."""

    reason = Reason.CONNECTION_NOT_FOUND


class RunNotFound(WrongRequest):
    """No such run."""

    reason = Reason.RUN_NOT_FOUND


class StoreExists(WrongRequest):
    """Store with this code already exists."""

    reason = Reason.STORE_EXISTS


class AccountAlreadyConnected(WrongRequest):
    """This TikTok account is connected to another owner: disconnect it there first."""

    reason = Reason.ACCOUNT_ALREADY_CONNECTED


class RunAlreadyActive(WrongRequest):
    """A run of the same scope is active: watch that one."""

    reason = Reason.RUN_ALREADY_ACTIVE


class StateInvalid(WrongRequest):
    """This connect link is not valid: start again from a new link."""

    reason = Reason.STATE_INVALID


class StateExpired(WrongRequest):
    """This connect link has expired: start again from a new link."""

    reason = Reason.STATE_EXPIRED


class StateReused(WrongRequest):
    """This connect link was used already: if the account is not connected, start again from a new link."""

    reason = Reason.STATE_REUSED


class KeyNotReady(WrongRequest):
    """A replica of the token service lacks a key that the others have: start it with that key, then ask again."""

    reason = Reason.KEY_NOT_READY


class ShopChoiceRequired(WrongRequest):
    """This seller has several shops: start again from a new link and name one of them as shop_id."""

    reason = Reason.SHOP_CHOICE_REQUIRED


class Unauthenticated(WrongRequest):
    """Missing or invalid credentials."""

    reason = Reason.UNAUTHENTICATED


class NotAllowed(WrongRequest):
    """The caller may not do this."""

    reason = Reason.NOT_ALLOWED


class NeedsConsent(TokhubError):
    """Only the owner of the account can help, on TikTok's consent page."""


class ReauthRequired(NeedsConsent):
    """TikTok no longer accepts this connection: the account must be connected again."""

    reason = Reason.REAUTH_REQUIRED


class ScopeMissing(NeedsConsent):
    """A required permission was not granted: connect again and leave it switched on."""

    reason = Reason.SCOPE_MISSING


class AuthorizationDenied(NeedsConsent):
    """The connection was declined on TikTok's page: start again to connect."""

    reason = Reason.AUTHORIZATION_DENIED


class TryLater(TokhubError):
    """The request may succeed later."""

    def __init__(
        self, message: str = "", *, retry_after: float = 1.0, metadata: Mapping[str, str] | None = None
    ) -> None:
        """retry_after is in seconds."""
        super().__init__(message, metadata=metadata)
        self.retry_after = retry_after


class RefreshInProgress(TryLater):
    """Another process is refreshing this token: try again in a moment."""

    reason = Reason.REFRESH_IN_PROGRESS


class StorageUnavailable(TryLater):
    """The database cannot be used now: try again in a moment."""

    reason = Reason.STORAGE_UNAVAILABLE


class UpstreamUnavailable(TryLater):
    """TikTok or a service behind this one cannot be reached now: try again later."""

    reason = Reason.UPSTREAM_UNAVAILABLE


class UpstreamRateLimited(TryLater):
    """TikTok asks to slow down: try again later."""

    reason = Reason.UPSTREAM_RATE_LIMITED


class RateLimited(TryLater):
    """Too many requests: slow down."""

    reason = Reason.RATE_LIMITED


class LockedOut(TryLater):
    """Too many failed authentications: wait."""

    reason = Reason.LOCKED_OUT


class DeadlineExceeded(TryLater):
    """The time for this request was up: work that had begun goes on, so try again in a moment."""

    reason = Reason.DEADLINE_EXCEEDED


class GiveUp(TokhubError):
    """Trying again will not help."""


class UpstreamBadResponse(GiveUp):
    """TikTok answered something that cannot be understood."""

    reason = Reason.UPSTREAM_BAD_RESPONSE


class UpstreamResponseTooLarge(GiveUp):
    """TikTok answered more than is accepted."""

    reason = Reason.UPSTREAM_RESPONSE_TOO_LARGE


class UpstreamCursorLoop(GiveUp):
    """TikTok's pages do not end."""

    reason = Reason.UPSTREAM_CURSOR_LOOP


class LostResponse(GiveUp):
    """The answer of a refresh was lost on the way: the account must be connected again."""

    reason = Reason.LOST_RESPONSE


class ServerMisconfig(GiveUp):
    """The suite is not set up correctly: see its log."""

    reason = Reason.SERVER_MISCONFIG


class Internal(GiveUp):
    """Something went wrong inside: see the log by the request id."""

    reason = Reason.INTERNAL
