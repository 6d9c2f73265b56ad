"""A crash that the operator brings about, while tokens rotate as fast as they can."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from tokhub.token.v1 import token_pb2

from cli.checks.finding import Finding, bad, good
from cli.selftest.ground import Ground, Subject
from cli.selftest.races import REPORT, comes_true
from libs.errors import TokhubError

CONNECTIONS = 4
PAUSE = 0.05  # seconds between two rotations of one connection
RESTED = 1.0  # seconds until what is on its way has landed

# Returns when the operator has killed a token service and started it again.
Crash = Callable[[], Awaitable[None]]


async def crashed(ground: Ground, crash: Crash) -> Finding:
    """Rotate on while a service dies: afterwards every connection holds what TikTok gave last, or is named."""
    subjects = [await ground.connect() for _ in range(CONNECTIONS)]
    rotating = [asyncio.create_task(rotate_on(ground, subject)) for subject in subjects]
    try:
        await crash()
    finally:
        for task in rotating:
            task.cancel()
        await asyncio.gather(*rotating, return_exceptions=True)
    await asyncio.sleep(RESTED)
    ends = Counter([await end_of(ground, subject) for subject in subjects])
    rotations = sum([(await ground.counted(subject)).refreshes for subject in subjects])
    became = ", ".join(f"{count} {word}" for word, count in ends.items())
    seen = f"{rotations} rotations of {CONNECTIONS} connections: {became}"
    return bad("crash", seen, REPORT) if ends["lost without a word"] else good("crash", seen)


async def rotate_on(ground: Ground, subject: Subject) -> None:
    """Reject one token after the other, whatever is answered."""
    generation = 1
    while True:
        told = await ground.token(subject, generation)
        if not isinstance(told, TokhubError):
            generation = told.generation
        await asyncio.sleep(PAUSE)


async def end_of(ground: Ground, subject: Subject) -> str:
    """Return in words what became of a connection."""
    before = (await ground.standing(subject)).generation

    async def is_told() -> bool:
        told = await ground.token(subject, before)
        return not isinstance(told, TokhubError) or await is_named()

    async def is_named() -> bool:
        standing = await ground.standing(subject)
        is_over = standing.status == token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED
        return is_over and standing.reason.upper() == "LOST_RESPONSE"

    if not await comes_true(is_told):
        return "lost without a word"
    return "lost and named" if await is_named() else "whole"
