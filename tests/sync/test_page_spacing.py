from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TypeVar

from libs.clock import SystemClock
from libs.secret import Secret
from libs.tiktok.display_objects import Account, Video, VideoPage
from services.sync.core.account_calls import VIDEO_SCOPES, AccountCalls
from services.sync.core.jobs import VideoJob
from services.sync.core.places import Places
from services.sync.domain.items import Claim, ItemKey
from services.sync.domain.jobs import Job
from services.sync.domain.rate_limit import Lane
from services.sync.domain.subjects import Subject
from services.sync.domain.tokens import AccessToken

Answer = TypeVar("Answer")
SPACING = 0.25
PAGES = 3
KEY = ItemKey("run", Job.VIDEO, Subject.store("shop"))
CLAIM = Claim(key=KEY, fence=1, attempt=1, cursor=None, pages=0, records=0, snapshot_date=date(2026, 11, 21))


class SetClock(SystemClock):
    """Moves when a test says so, and notes who slept."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_by(seconds)


class Queue:
    """A gate at which calls wait for their turn; tokens are at hand."""

    def __init__(self, clock: SetClock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    async def call(self, endpoint: str, lane: Lane, call: Callable[[], Awaitable[Answer]]) -> Answer:
        assert (endpoint, lane) == ("video/list", Lane.BULK)
        self.clock.pass_by(self.seconds)
        return await call()

    async def valid(self, subject: Subject) -> AccessToken:
        assert subject == KEY.subject
        return AccessToken(Secret("token"), 1, VIDEO_SCOPES)

    async def replacing(self, subject: Subject, generation: int) -> AccessToken:
        raise AssertionError(subject, generation)


class Display:
    """A TikTok of a few pages that takes its time and notes when calls come."""

    def __init__(self, clock: SetClock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.called: list[datetime] = []

    async def user_info(self, token: Secret, *, with_profile: bool) -> Account:
        raise AssertionError(token, with_profile)

    async def video_page(self, token: Secret, cursor: int | None) -> VideoPage:
        assert token.reveal() == "token"
        self.called.append(self.clock.now())
        self.clock.pass_by(self.seconds)
        return VideoPage(videos=(), cursor=(cursor or 100) - 1, has_more=len(self.called) < PAGES)


class Shelf:
    """Notes of when the pages are that it is given."""

    def __init__(self) -> None:
        self.fetched_at: list[datetime] = []

    async def save_account(self, claim: Claim, account: Account, fetched_at: datetime) -> None:
        raise AssertionError(claim, account, fetched_at)

    async def save_videos(
        self, claim: Claim, videos: tuple[Video, ...], *, cursor: int | None, fetched_at: datetime
    ) -> Claim:
        assert videos == ()
        self.fetched_at.append(fetched_at)
        return replace(claim, cursor=cursor, pages=claim.pages + 1)


class Walk:
    """A walk through all pages of an account."""

    def __init__(self, *, turn_after: float = 0.0, answer_after: float) -> None:
        self.clock, self.shelf = SetClock(), Shelf()
        self.queue, self.display = Queue(self.clock, turn_after), Display(self.clock, answer_after)

    async def perform(self) -> "Walk":
        accounts = AccountCalls(
            tokens=self.queue, places=Places({Job.VIDEO: 1}), gate=self.queue, display=self.display, clock=self.clock
        )
        job = VideoJob(
            accounts=accounts,
            snapshots=self.shelf,
            clock=self.clock,
            page_spacing=SPACING,
            is_stopping=lambda: False,
        )
        await job.perform(CLAIM)
        return self


async def test_quick_answers_are_followed_by_a_pause() -> None:
    walk = await Walk(answer_after=0.05).perform()
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(walk.display.called)]
    assert gaps == [SPACING] * (PAGES - 1)


async def test_waiting_for_a_turn_is_no_pause_between_calls() -> None:
    walk = await Walk(turn_after=30.0, answer_after=0.05).perform()
    assert walk.clock.slept == [SPACING - 0.05] * (PAGES - 1)


async def test_a_slow_answer_is_pause_enough() -> None:
    walk = await Walk(answer_after=3.0).perform()
    assert walk.clock.slept == []


async def test_a_clock_set_back_stops_nobody_for_long() -> None:
    walk = await Walk(answer_after=-3_600.0).perform()
    assert walk.clock.slept == [SPACING] * (PAGES - 1)


async def test_a_page_is_as_old_as_its_call_not_as_its_wait() -> None:
    walk = await Walk(turn_after=30.0, answer_after=0.05).perform()
    assert walk.shelf.fetched_at == walk.display.called
