"""Whoever was let in may stay while what they came with is good: an answer that lasts asks again and again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastapi import Request

from libs.errors import TryLater

LOOK = 2.0  # seconds between two looks
Check = Callable[[], Awaitable[object]]


def keep_checking(request: Request, check: Check) -> None:
    """Leave in the request what tells whether its session or token is still good, by raising Unauthenticated."""
    request.state.check = check


async def lapse(request: Request) -> None:
    """Raise Unauthenticated once the request's session or token is not good any more; wait for ever with a key.

    Keys are settings, and end with the process. While nobody can tell, whoever was let in stays.
    """
    check: Check | None = getattr(request.state, "check", None)
    while True:
        await asyncio.sleep(LOOK)
        if check is not None:
            with suppress(TryLater):
                await check()
