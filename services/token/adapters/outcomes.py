"""What became of a call to TikTok, as the core sees it."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

from libs.clock import Clock
from libs.tiktok import outcomes, token_answers
from services.token.core import provider

RETRY_AFTER = (1.0, 900.0)  # seconds; what a server asks for is clamped to this
TOO_MANY = 429


@contextmanager
def as_outcomes(clock: Clock) -> Iterator[None]:
    """Turn what a client of TikTok raises in the body into an Outcome."""
    try:
        yield
    except outcomes.NotSent as failure:
        raise provider.NotSent(str(failure)) from None
    except outcomes.CallFailed as failure:
        raise provider.Unknown(str(failure)) from None
    except token_answers.AppRefused as refusal:
        raise provider.AppRefused(refusal.word) from None
    except token_answers.Refused as refusal:
        raise provider.Refused(refusal.word) from None
    except token_answers.Unusable as answer:
        retry_after = seconds_of(answer.retry_after, clock)
        limited = answer.status == TOO_MANY
        raise provider.Unavailable(str(answer), retry_after=retry_after, limited=limited) from None


def seconds_of(header: str | None, clock: Clock) -> float:
    """Return the seconds of a Retry-After header, a number or a date, clamped; the least when it is neither."""
    least, most = RETRY_AFTER
    try:
        return min(max(float(header or 0), least), most)
    except ValueError:
        pass
    try:
        wait = (parsedate_to_datetime(header or "") - clock.now()).total_seconds()
    except (ValueError, TypeError):
        return least
    return min(max(wait, least), most)
