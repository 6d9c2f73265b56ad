"""How long TikTok asks to wait: a Retry-After header, whatever stands in it."""

import math
from datetime import datetime
from email.utils import parsedate_to_datetime

SHORTEST, LONGEST = 1.0, 900.0  # seconds; what is asked for is clamped to this


def wait_asked_for(header: str | None, now: datetime) -> float | None:
    """Return the seconds of a number or of a date as HTTP writes it, clamped; None when it is neither."""
    seconds = seconds_in(header or "", now)
    return None if seconds is None or math.isnan(seconds) else min(max(seconds, SHORTEST), LONGEST)


def seconds_in(header: str, now: datetime) -> float | None:
    """Return the seconds as they stand there."""
    try:
        return float(header)
    except ValueError:
        pass
    try:
        return (parsedate_to_datetime(header) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
