"""The Display API: one account's figures and its videos, page by page; every failure is a typed error."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from libs.clock import Clock
from libs.errors import (
    ScopeMissing,
    TokhubError,
    UpstreamBadResponse,
    UpstreamRateLimited,
    UpstreamResponseTooLarge,
    UpstreamUnavailable,
)
from libs.secret import Secret
from libs.tiktok.display_objects import (
    BASIC_FIELDS,
    PROFILE_FIELDS,
    STATS_FIELDS,
    VIDEO_FIELDS,
    AccessTokenInvalid,
    Account,
    VideoPage,
    read_account,
    read_video_page,
)
from libs.tiktok.outcomes import NoAnswer, NotSent, TooLarge
from libs.tiktok.retry_after import wait_asked_for
from libs.tiktok.transport import Answer, Request

PAGE_SIZE = 20  # the most TikTok gives
DEADLINE = 30.0  # seconds for one call
# No source says that TikTok sends Retry-After; its window is a minute and slides, so a slot is free again soon.
USUAL_WAIT = 5.0

SCOPE_CODES = frozenset({"scope_not_authorized", "scope_permission_missed"})
SAFE_CODE = re.compile(r"[a-z0-9_]{1,64}")


class Sender(Protocol):
    """What carries requests to TikTok."""

    async def send(self, request: Request, *, deadline: float) -> Answer:
        """Return the whole answer; raise NotSent, NoAnswer or TooLarge."""
        ...


class DisplayClient:
    """Calls the Display API.

    Raises AccessTokenInvalid, ScopeMissing, UpstreamRateLimited, UpstreamUnavailable, UpstreamBadResponse and
    UpstreamResponseTooLarge; none of their texts holds a token or more of an answer than its error code.
    """

    def __init__(self, *, origin: str, sender: Sender, clock: Clock) -> None:
        self._origin = origin.rstrip("/")
        self._sender = sender
        self._clock = clock

    async def user_info(self, token: Secret, *, with_profile: bool) -> Account:
        """Return the account behind the token; the profile's fields need the scope user.info.profile."""
        fields = (*BASIC_FIELDS, *STATS_FIELDS, *(PROFILE_FIELDS if with_profile else ()))
        data = await self._call("GET", "/v2/user/info/", fields, token)
        if not isinstance(data.get("user"), dict):
            raise UpstreamBadResponse("TikTok's answer holds no account.")
        return read_account(data["user"])

    async def video_page(self, token: Secret, cursor: int | None) -> VideoPage:
        """Return the videos posted before the cursor, newest first; from the newest when there is no cursor."""
        body = {"max_count": PAGE_SIZE} if cursor is None else {"max_count": PAGE_SIZE, "cursor": cursor}
        return read_video_page(await self._call("POST", "/v2/video/list/", VIDEO_FIELDS, token, body))

    async def _call(
        self, method: str, path: str, fields: tuple[str, ...], token: Secret, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        request = Request(
            method=method,
            # A text that is always the same is made into an address once.
            url=f"{self._origin}{path}?fields={','.join(fields)}",
            headers={"Authorization": f"Bearer {token.reveal()}"},
            json_body=body,
        )
        try:
            answer = await self._sender.send(request, deadline=DEADLINE)
        except (NotSent, NoAnswer) as failure:
            raise UpstreamUnavailable(f"TikTok gave no answer to {path} ({failure}): try again later.") from None
        except TooLarge:
            raise UpstreamResponseTooLarge from None
        return understand(answer, self._clock.now())


def understand(answer: Answer, now: datetime) -> Mapping[str, Any]:
    """Return the data of a success, or raise the error the answer means; TikTok also refuses with status 200."""
    envelope = answer.json_object()
    code = error_code(envelope)
    if answer.status == 200 and code == "ok" and envelope is not None:
        data = envelope.get("data")
        return data if isinstance(data, dict) else {}
    raise refusal(answer, code, now)


def error_code(envelope: Mapping[str, Any] | None) -> str | None:
    """Return error.code, also where the error stands without its wrapper; None when there is no such word."""
    error = (envelope or {}).get("error", envelope)
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and SAFE_CODE.fullmatch(code) else None


def refusal(answer: Answer, code: str | None, now: datetime) -> TokhubError:
    """Return the error that fits the code, or the status when there is none."""
    described = f"status {answer.status}, {code or 'no error code'}"
    if code in SCOPE_CODES:
        return ScopeMissing()
    if code == "access_token_invalid" or answer.status == 401:
        return AccessTokenInvalid()
    if code == "rate_limit_exceeded" or answer.status == 429:
        wait = wait_asked_for(answer.headers.get("retry-after"), now) or USUAL_WAIT
        return UpstreamRateLimited(f"TikTok asks to slow down ({described}): try again later.", retry_after=wait)
    if code == "internal_error" or answer.status >= 500:
        return UpstreamUnavailable(f"TikTok cannot answer now ({described}): try again later.")
    return UpstreamBadResponse(f"TikTok's answer is of no use ({described}).")
