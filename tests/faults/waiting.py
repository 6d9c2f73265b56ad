"""Waits for a state that has no event of its own, by looking often."""

import time
from collections.abc import Awaitable, Callable

from libs.clock import SystemClock

LOOK_EVERY = 0.1  # seconds


class NeverCame(AssertionError):
    """A state that was waited for did not come."""


async def until(what: str, look: Callable[[], Awaitable[object]], *, within: float = 30.0) -> float:
    """Return the seconds it took until look said yes; raise NeverCame with what was waited for."""
    began = time.monotonic()
    while not await look():
        if time.monotonic() - began > within:
            raise NeverCame(f"not within {within:.0f} s: {what}")
        await SystemClock().sleep(LOOK_EVERY)
    return time.monotonic() - began
