"""Calls to TikTok for one subject: the token first, then a place, then the gate, then the call, at once."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol, TypeVar

from libs.clock import Clock
from libs.errors import ScopeMissing
from libs.secret import Secret
from libs.tiktok.display_objects import AccessTokenInvalid, Account, VideoPage
from services.sync.core.places import Places
from services.sync.domain.items import Claim
from services.sync.domain.rate_limit import Lane
from services.sync.domain.readings import Reading
from services.sync.domain.subjects import Subject
from services.sync.domain.tokens import AccessToken

USER_SCOPES = frozenset({"user.info.basic", "user.info.stats"})
PROFILE_SCOPE = "user.info.profile"
VIDEO_SCOPES = frozenset({"video.list"})

Answer = TypeVar("Answer")
Call = Callable[[AccessToken], Awaitable[Answer]]


class Endpoint(StrEnum):
    """Endpoints with a rate limit of their own."""

    USER_INFO = "user/info"
    VIDEO_LIST = "video/list"


class Tokens(Protocol):
    """Gives out access tokens."""

    async def valid(self, subject: Subject) -> AccessToken:
        """Return a token that works now."""
        ...

    async def replacing(self, subject: Subject, generation: int) -> AccessToken:
        """Return another token than the one TikTok rejected."""
        ...


class Gate(Protocol):
    """What every call to TikTok passes."""

    async def call(self, endpoint: str, lane: Lane, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make the call when its turn has come, and return what it returns."""
        ...


class DisplayApi(Protocol):
    """TikTok's Display API."""

    async def user_info(self, token: Secret, *, with_profile: bool) -> Account:
        """Return the account behind the token."""
        ...

    async def video_page(self, token: Secret, cursor: int | None) -> VideoPage:
        """Return the videos posted before the cursor."""
        ...


class AccountCalls:
    """The two calls that syncing needs; a token rejected by TikTok is replaced once and the call repeated."""

    def __init__(self, *, tokens: Tokens, places: Places, gate: Gate, display: DisplayApi, clock: Clock) -> None:
        self._tokens = tokens
        self._places = places
        self._gate = gate
        self._display = display
        self._clock = clock

    async def account(self, claim: Claim) -> Reading[Account]:
        """Return the account of the claim's subject; ScopeMissing, and what Tokens, Gate and DisplayApi raise."""

        async def call(token: AccessToken) -> Reading[Account]:
            require(token, USER_SCOPES)
            with_profile = PROFILE_SCOPE in token.scopes
            return await self._read(
                Endpoint.USER_INFO, claim, lambda: self._display.user_info(token.value, with_profile=with_profile)
            )

        return await self._with_token(claim.key.subject, call)

    async def video_page(self, claim: Claim) -> Reading[VideoPage]:
        """Return the page of videos the claim has come to; ScopeMissing, and what Tokens, Gate and DisplayApi raise."""

        async def call(token: AccessToken) -> Reading[VideoPage]:
            require(token, VIDEO_SCOPES)
            return await self._read(
                Endpoint.VIDEO_LIST, claim, lambda: self._display.video_page(token.value, claim.cursor)
            )

        return await self._with_token(claim.key.subject, call)

    async def _read(self, endpoint: Endpoint, claim: Claim, send: Callable[[], Awaitable[Answer]]) -> Reading[Answer]:
        async def read() -> Reading[Answer]:
            asked_at = self._clock.now()
            return Reading(content=await send(), asked_at=asked_at)

        async with self._places.of(claim):
            return await self._gate.call(endpoint, claim.lane, read)

    async def _with_token(self, subject: Subject, call: Call[Answer]) -> Answer:
        token = await self._tokens.valid(subject)
        try:
            return await call(token)
        except AccessTokenInvalid:
            return await call(await self._tokens.replacing(subject, token.generation))


def require(token: AccessToken, scopes: frozenset[str]) -> None:
    """Raise ScopeMissing, naming what was not granted."""
    missing = scopes - token.scopes
    if missing:
        raise ScopeMissing(
            f"The account did not grant {', '.join(sorted(missing))}: connect again and leave it switched on."
        )
