import json
from typing import Any

import pytest

from libs.clock import SystemClock
from libs.errors import (
    ScopeMissing,
    TokhubError,
    UpstreamBadResponse,
    UpstreamCursorLoop,
    UpstreamRateLimited,
    UpstreamResponseTooLarge,
    UpstreamUnavailable,
)
from libs.secret import Secret
from libs.tiktok.display import DisplayClient
from libs.tiktok.display_objects import LARGEST_COUNT, AccessTokenInvalid, VideoPage
from libs.tiktok.outcomes import CallFailed, NoAnswer, NotSent, TooLarge
from libs.tiktok.transport import Answer, Request

TOKEN = Secret("act.CNRYsecret-token")


class Wire:
    """Answers every request the same way and keeps the last one."""

    def __init__(self, outcome: Answer | CallFailed) -> None:
        self.outcome = outcome
        self.last: Request | None = None

    async def send(self, request: Request, *, deadline: float) -> Answer:
        self.last = request
        assert deadline > 0
        if isinstance(self.outcome, CallFailed):
            raise self.outcome
        return self.outcome


def said(status: int, body: Any, **headers: str) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer(status=status, headers=headers, body=text.encode())


def refused(status: int, code: str) -> Answer:
    return said(status, {"data": {}, "error": {"code": code, "message": "act.CNRYsecret-token", "log_id": "1"}})


async def ask(outcome: Answer | CallFailed) -> VideoPage:
    return await DisplayClient(origin="https://tiktok.test", sender=Wire(outcome), clock=SystemClock()).video_page(
        TOKEN, None
    )


@pytest.mark.parametrize("status", [200, None])
@pytest.mark.parametrize(
    ("code", "usual", "error"),
    [
        ("access_token_invalid", 401, AccessTokenInvalid),
        ("scope_not_authorized", 401, ScopeMissing),
        ("scope_permission_missed", 400, ScopeMissing),
        ("rate_limit_exceeded", 429, UpstreamRateLimited),
        ("internal_error", 500, UpstreamUnavailable),
        ("invalid_params", 400, UpstreamBadResponse),
    ],
)
async def test_each_code_means_the_same_with_any_status(
    status: int | None, code: str, usual: int, error: type[TokhubError]
) -> None:
    with pytest.raises(error) as caught:
        await ask(refused(status or usual, code))
    assert type(caught.value) is error
    assert "CNRY" not in str(caught.value)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (said(200, "<html>captcha</html>"), UpstreamBadResponse),
        (said(502, "<html>bad gateway</html>"), UpstreamUnavailable),
        (said(429, "slow down"), UpstreamRateLimited),
        (said(401, "no"), AccessTokenInvalid),
        (said(404, "{}"), UpstreamBadResponse),
        (said(302, ""), UpstreamBadResponse),
        (said(200, [1, 2]), UpstreamBadResponse),
        (said(200, {"data": {"videos": []}}), UpstreamBadResponse),
        (said(200, {"data": {"videos": {}, "has_more": False}, "error": {"code": "ok"}}), UpstreamBadResponse),
        (said(200, {"data": {"videos": []}, "error": {"code": "ok"}}), UpstreamBadResponse),
        (said(200, {"code": "internal_error", "message": "", "log_id": ""}), UpstreamUnavailable),
        (said(400, {"error": {"code": "act.CNRYsecret-token"}}), UpstreamBadResponse),
        (NotSent("connecting failed"), UpstreamUnavailable),
        (NoAnswer("no answer"), UpstreamUnavailable),
        (TooLarge("too large"), UpstreamResponseTooLarge),
    ],
)
async def test_every_other_answer_is_a_typed_error(outcome: Answer | CallFailed, error: type[TokhubError]) -> None:
    with pytest.raises(error) as caught:
        await ask(outcome)
    assert "CNRY" not in f"{caught.value!r} {caught.value.metadata}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("7", 7), ("0", 1), ("-1", 1), ("1000000000", 900), ("1e9", 900), ("inf", 900)),
        *(("nan", 5), ("", 5), ("soon", 5)),
        *(("Wed, 21 Oct 2099 07:28:00 GMT", 900), ("Wed, 21 Oct 2015 07:28:00 GMT", 1)),
    ],
)
async def test_retry_after_is_clamped_and_never_crashes(value: str, seconds: float) -> None:
    with pytest.raises(UpstreamRateLimited) as caught:
        await ask(said(429, "slow down", **{"retry-after": value}))
    assert caught.value.retry_after == seconds


async def test_the_call_says_what_tiktok_asks_for() -> None:
    wire = Wire(said(200, {"data": {"videos": [], "has_more": False, "cursor": 0}, "error": {"code": "ok"}}))
    await DisplayClient(origin="https://tiktok.test/", sender=wire, clock=SystemClock()).video_page(
        TOKEN, 1_700_000_000_000
    )
    assert wire.last
    assert (wire.last.method, wire.last.url.partition("?")[0]) == ("POST", "https://tiktok.test/v2/video/list/")
    assert wire.last.json_body == {"max_count": 20, "cursor": 1_700_000_000_000}
    assert wire.last.headers == {"Authorization": "Bearer act.CNRYsecret-token"}


@pytest.mark.parametrize("with_profile", [True, False])
async def test_the_profile_is_asked_for_only_when_allowed(*, with_profile: bool) -> None:
    wire = Wire(said(200, {"data": {"user": {"follower_count": LARGEST_COUNT}}, "error": {"code": "ok"}}))
    account = await DisplayClient(origin="https://tiktok.test", sender=wire, clock=SystemClock()).user_info(
        TOKEN, with_profile=with_profile
    )
    assert wire.last
    assert ("username" in wire.last.url.partition("?fields=")[2].split(",")) is with_profile
    assert account.follower_count == LARGEST_COUNT


@pytest.mark.parametrize(("asked", "given"), [(5, 5), (5, 6)])
def test_a_page_must_lead_further_back(asked: int, given: int) -> None:
    with pytest.raises(UpstreamCursorLoop):
        VideoPage(videos=(), cursor=given, has_more=True).cursor_after(asked)


def test_a_page_that_hides_the_next_is_no_page() -> None:
    with pytest.raises(UpstreamBadResponse):
        VideoPage(videos=(), cursor=None, has_more=True).cursor_after(None)
