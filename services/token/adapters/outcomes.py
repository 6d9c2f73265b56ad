"""What became of a call to TikTok, as the core sees it."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from libs.clock import Clock
from libs.tiktok import outcomes, token_answers
from libs.tiktok.retry_after import SHORTEST, wait_asked_for
from services.token.core import provider

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
    """Return the seconds of a Retry-After header; the least when it says none."""
    return wait_asked_for(header, clock.now()) or SHORTEST
