"""Keeps round trips apart, so that what comes shortly after one leaves in company with the next."""

import asyncio

# A round trip costs the same, however little it carries; an item waits longer than this for its call to TikTok.
APART = 0.05  # seconds


class Pace:
    """Turns that are so many seconds apart; the first one after a pause comes at once."""

    def __init__(self, apart: float = APART) -> None:
        self._apart = apart
        self._next_at = 0.0

    async def turn(self) -> None:
        """Wait for the next turn and take it."""
        now = asyncio.get_running_loop().time
        if (early := self._next_at - now()) > 0:
            await asyncio.sleep(early)
        self._next_at = now() + self._apart
