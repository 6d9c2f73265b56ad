"""Calls to TikTok for one subject: token first, then a slot of the budget, then the call, at once."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol, TypeVar

from libs.errors import ScopeMissing, UpstreamRateLimited
from libs.secret import Secret
from libs.tiktok.display_objects import AccessTokenInvalid, Account, VideoPage
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


class Budget(Protocol):
    """Slots of an endpoint's rate limit, shared by all replicas."""

    async def acquire(self, endpoint: str) -> None:
        """Wait for a slot; the call should leave at once."""
        ...

    async def slow_down(self, endpoint: str, seconds: float) -> None:
        """Give no slot for so many seconds."""
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

    def __init__(self, *, tokens: Tokens, budget: Budget, display: DisplayApi) -> None:
        self._tokens = tokens
        self._budget = budget
        self._display = display

    async def account(self, subject: Subject) -> Account:
        """Return the subject's account; ScopeMissing, and what Tokens and DisplayApi raise."""

        async def call(token: AccessToken) -> Account:
            require(token, USER_SCOPES)
            return await self._paced(
                Endpoint.USER_INFO,
                lambda: self._display.user_info(token.value, with_profile=PROFILE_SCOPE in token.scopes),
            )

        return await self._with_token(subject, call)

    async def video_page(self, subject: Subject, cursor: int | None) -> VideoPage:
        """Return one page of the subject's videos; ScopeMissing, and what Tokens and DisplayApi raise."""

        async def call(token: AccessToken) -> VideoPage:
            require(token, VIDEO_SCOPES)
            return await self._paced(Endpoint.VIDEO_LIST, lambda: self._display.video_page(token.value, cursor))

        return await self._with_token(subject, call)

    async def _with_token(self, subject: Subject, call: Call[Answer]) -> Answer:
        token = await self._tokens.valid(subject)
        try:
            return await call(token)
        except AccessTokenInvalid:
            return await call(await self._tokens.replacing(subject, token.generation))

    async def _paced(self, endpoint: Endpoint, call: Callable[[], Awaitable[Answer]]) -> Answer:
        await self._budget.acquire(endpoint)
        try:
            return await call()
        except UpstreamRateLimited as limited:
            await self._budget.slow_down(endpoint, limited.retry_after)
            raise


def require(token: AccessToken, scopes: frozenset[str]) -> None:
    """Raise ScopeMissing, naming what was not granted."""
    missing = scopes - token.scopes
    if missing:
        raise ScopeMissing(
            f"The account did not grant {', '.join(sorted(missing))}: connect again and leave it switched on."
        )
