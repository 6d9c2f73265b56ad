"""What became of a call to TikTok, as the core sees it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

import structlog

from libs.clock import Clock
from libs.tiktok import outcomes, token_answers
from services.token.core import provider

RETRY_AFTER = (1.0, 900.0)  # seconds; what a server asks for is clamped to this
TOO_MANY = 429
# An access token that was just given has a life, whatever the answer says of it.
LONGEST_ACCESS = 366 * 86_400  # seconds; TikTok documents two hours to seven days
ASSUMED_ACCESS = 3600  # seconds; half of the shortest life that TikTok documents

log = structlog.get_logger()


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
    except token_answers.Garbled as answer:
        raise provider.Garbled(str(answer)) from None
    except token_answers.Page as page:
        raise provider.Unreadable(str(page)) from None
    except token_answers.Unusable as answer:
        retry_after = seconds_of(answer.retry_after, clock)
        limited = answer.status == TOO_MANY
        raise provider.Unavailable(str(answer), retry_after=retry_after, limited=limited) from None


def access_life(seconds: int | None) -> int:
    """Return the seconds that an access token is used for: as many as TikTok says, unless that cannot be."""
    if seconds is not None and 0 < seconds <= LONGEST_ACCESS:
        return seconds
    log.warning("TikTok names no usable life of an access token", assumed=ASSUMED_ACCESS)
    return ASSUMED_ACCESS


def seconds_of(header: str | None, clock: Clock) -> float:
    """Return the seconds of a Retry-After header, a number or a date, clamped; the least when it is neither."""
    least, most = RETRY_AFTER
    try:
        wait = float(header or 0)
    except ValueError:
        wait = seconds_until(header or "", clock)
    return least if math.isnan(wait) else min(max(wait, least), most)


def seconds_until(date: str, clock: Clock) -> float:
    """Return the seconds until a date as HTTP writes it, 0 when it is none."""
    try:
        return (parsedate_to_datetime(date) - clock.now()).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
