import pytest

from libs.errors import (
    ReauthRequired,
    TokhubError,
    UpstreamBadResponse,
    UpstreamCursorLoop,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from libs.tiktok.display_objects import AccessTokenInvalid
from services.sync.domain.retry import RetryRule

RULE = RetryRule()


def test_waits_double_from_attempt_to_attempt() -> None:
    waits = [RULE.wait_after(UpstreamUnavailable(), attempt=attempt, draw=0.5) for attempt in (1, 2, 3, 4)]
    assert waits == [1, 2, 4, 8]


def test_the_fifth_attempt_is_the_last() -> None:
    assert RULE.wait_after(UpstreamUnavailable(), attempt=5, draw=0.5) is None


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 1.0), (7.0, 7.0), (1e9, 900.0)])
def test_what_tiktok_asks_for_is_honoured_within_bounds(asked: float, waited: float) -> None:
    assert RULE.wait_after(UpstreamRateLimited(retry_after=asked), attempt=1, draw=0.0) == waited


def test_nonsense_is_asked_for_again() -> None:
    assert RULE.wait_after(UpstreamBadResponse(), attempt=1, draw=0.9) == pytest.approx(1.4)


@pytest.mark.parametrize("error", [ReauthRequired(), UpstreamCursorLoop(), AccessTokenInvalid()])
def test_what_cannot_pass_is_not_repeated(error: TokhubError) -> None:
    assert RULE.wait_after(error, attempt=1, draw=0.5) is None
