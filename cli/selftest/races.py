"""Races that cost tokens elsewhere: many who ask at once, a disconnect in the middle, an answer that is lost."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from tokhub.token.v1 import token_pb2

from cli.checks.finding import Finding, bad, good
from cli.selftest.ground import Ground, Subject, Told
from libs.clock import SystemClock
from libs.errors import ConnectionNotFound, ReauthRequired, TokhubError

REPORT = "Keep the services' logs of this moment, and the sandbox's ledger, and report it."
ALMOST_OVER = 2  # seconds that a token lives which is over when it is asked for
MEANWHILE = 2.0  # seconds that TikTok takes for an answer, in which something else happens
SETTLES_WITHIN = 60.0  # seconds
LOOK_EVERY = 0.25  # seconds


async def expired(ground: Ground, callers: int) -> Finding:
    """Let many ask for a token that is over: one refresh, and the same new token for all."""
    subject = await ground.connect(set={"/expires_in": ALMOST_OVER})
    await asyncio.sleep(ALMOST_OVER)
    told = await ground.tokens(subject, callers)
    return await one_refresh(ground, subject, told, "expired")


async def rejected(ground: Ground, callers: int) -> Finding:
    """Let many say that TikTok took their token for wrong: one refresh, and a newer token for all."""
    subject = await ground.connect()
    generation = (await ground.standing(subject)).generation
    told = await ground.tokens(subject, callers, generation)
    return await one_refresh(ground, subject, told, "rejected")


async def one_refresh(ground: Ground, subject: Subject, told: Sequence[Told], what: str) -> Finding:
    """Say whether TikTok counted one refresh and everybody got its token."""
    refreshes = (await ground.counted(subject)).refreshes
    answers = Counter(word_of(one) for one in told)
    if refreshes == 1 and set(answers) == {"generation 2"}:
        return good(what, f"{len(told)} callers at once: 1 refresh at TikTok, one new token for all")
    seen = f"{len(told)} callers at once: {refreshes} refreshes at TikTok, answers: {listed(answers)}"
    return bad(what, seen, REPORT)


async def disconnected(ground: Ground, callers: int) -> Finding:
    """Disconnect while TikTok answers a refresh: nobody gets a token any more, and the grant is ended there."""
    subject = await ground.connect()
    generation = (await ground.standing(subject)).generation
    await ground.sandbox.fault("slow", subject.account, seconds=MEANWHILE)
    asking = asyncio.create_task(ground.tokens(subject, callers, generation))
    await asyncio.sleep(MEANWHILE / 2)
    await ground.disconnect(subject)
    await asking
    late = await ground.token(subject)
    ended = await comes_true(lambda: ground.sandbox.is_ended(subject.account))
    if isinstance(late, ConnectionNotFound | ReauthRequired) and ended:
        return good("disconnect", f"{callers} callers were waiting: no token came after it, and the grant has ended")
    state = "ended" if ended else "still alive at TikTok"
    return bad("disconnect", f"afterwards a caller is told {word_of(late)}, and the grant is {state}", REPORT)


async def lost(ground: Ground, callers: int) -> Finding:
    """Lose an answer after TikTok has rotated: the connection is saved by one repeat, or named, and never silent."""
    subject = await ground.connect()
    generation = (await ground.standing(subject)).generation
    await ground.sandbox.fault("answer_lost", subject.account, count=1)
    await ground.tokens(subject, callers, generation)

    async def is_settled() -> bool:
        standing = await ground.standing(subject)
        return standing.generation > generation or standing.status == token_pb2.CONNECTION_STATUS_REAUTH_REQUIRED

    settled = await comes_true(is_settled)
    standing, repeats = await ground.standing(subject), (await ground.counted(subject)).repeats
    seen = f"{standing.reason or 'no reason'}, the old token was presented again {repeats} x"
    if not settled or repeats > 1:
        return bad("lost answer", f"it is neither saved nor named, or was repeated too often: {seen}", REPORT)
    if standing.generation > generation:
        return good("lost answer", f"saved by one repeat, as TikTok's grace allows: {seen}")
    named = standing.reason.upper() == "LOST_RESPONSE"
    return good("lost answer", f"named: {seen}") if named else bad("lost answer", f"it is not named: {seen}", REPORT)


async def comes_true(look: Callable[[], Awaitable[bool]]) -> bool:
    """Return whether something comes true in time."""
    clock = SystemClock()
    try:
        async with asyncio.timeout(SETTLES_WITHIN):
            while not await look():
                await clock.sleep(LOOK_EVERY)
    except TimeoutError:
        return False
    return True


def word_of(told: Told) -> str:
    """Return what a caller was told, in a word or two."""
    return told.reason.value if isinstance(told, TokhubError) else f"generation {told.generation}"


def listed(answers: Counter[str]) -> str:
    """Return how often each was told."""
    return ", ".join(f"{count} x {word}" for word, count in answers.most_common())
