"""What each job does with an item it has claimed; every step it stores is guarded by the item's fence."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid5

from libs.clock import Clock
from libs.errors import UpstreamCursorLoop
from libs.tiktok.display_objects import Account, Video, VideoPage
from services.sync.domain import wording
from services.sync.domain.items import Claim, Ending, GaveBack
from services.sync.domain.outcomes import Outcome
from services.sync.domain.subjects import Subject

MOST_PAGES = 5_000  # 100,000 videos; TikTok's largest accounts are below


class Accounts(Protocol):
    """TikTok, for the subject of a claim."""

    async def account(self, claim: Claim) -> Account:
        """Return the account."""
        ...

    async def video_page(self, claim: Claim) -> VideoPage:
        """Return the page of videos that the claim has come to."""
        ...


class Snapshots(Protocol):
    """Where snapshots are written, each in one transaction with its item's progress; LostItem when it is lost."""

    async def save_account(self, claim: Claim, account: Account, fetched_at: datetime) -> None:
        """Store the account of the claim's day."""
        ...

    async def save_videos(
        self, claim: Claim, videos: tuple[Video, ...], *, cursor: int | None, fetched_at: datetime
    ) -> Claim:
        """Store a page and the cursor of the next; return the claim as it stands then."""
        ...


class Refresher(Protocol):
    """Refreshes tokens."""

    async def refresh_when_due(self, subject: Subject, request_id: str) -> bool:
        """Return whether a token was refreshed; the same request_id never refreshes twice."""
        ...


class UserJob:
    """Stores the account's snapshot of the day."""

    def __init__(self, *, accounts: Accounts, snapshots: Snapshots, clock: Clock) -> None:
        self._accounts = accounts
        self._snapshots = snapshots
        self._clock = clock

    async def perform(self, claim: Claim) -> Ending:
        """Return how it ended."""
        fetched_at = self._clock.now()
        account = await self._accounts.account(claim)
        await self._snapshots.save_account(claim, account, fetched_at)
        return Ending(outcome=Outcome.SUCCESS, message=wording.account_synced(account), records=1)


class VideoJob:
    """Stores a snapshot of every video, page after page, from the page on that the item had come to.

    Between two pages of an account page_spacing seconds pass at least.
    """

    def __init__(
        self,
        *,
        accounts: Accounts,
        snapshots: Snapshots,
        clock: Clock,
        page_spacing: float,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._accounts = accounts
        self._snapshots = snapshots
        self._clock = clock
        self._page_spacing = page_spacing
        self._is_stopping = is_stopping

    async def perform(self, claim: Claim) -> Ending:
        """Return how it ended; GaveBack after the page in hand when the process stops."""
        has_more = claim.pages == 0 or claim.cursor is not None
        while has_more:
            begun = self._clock.monotonic()
            claim = await self._next_page(claim)
            has_more = claim.cursor is not None
            if has_more and self._is_stopping():
                raise GaveBack
            early = begun + self._page_spacing - self._clock.monotonic()
            if has_more and early > 0:
                await self._clock.sleep(early)
        return Ending(outcome=Outcome.SUCCESS, message=wording.videos_synced(claim.records), records=claim.records)

    async def _next_page(self, claim: Claim) -> Claim:
        if claim.pages >= MOST_PAGES:
            raise UpstreamCursorLoop
        fetched_at = self._clock.now()
        page = await self._accounts.video_page(claim)
        cursor = page.cursor_after(claim.cursor)
        return await self._snapshots.save_videos(claim, page.videos, cursor=cursor, fetched_at=fetched_at)


class RefreshJob:
    """Refreshes the token when it is due."""

    def __init__(self, *, refresher: Refresher) -> None:
        self._refresher = refresher

    async def perform(self, claim: Claim) -> Ending:
        """Return how it ended."""
        subject = claim.key.subject
        request_id = str(uuid5(UUID(claim.key.run_id), f"{subject.kind}:{subject.id}"))
        refreshed = await self._refresher.refresh_when_due(subject, request_id)
        message = wording.token_refreshed() if refreshed else wording.token_not_due()
        return Ending(outcome=Outcome.SUCCESS, message=message, refreshed=refreshed)
