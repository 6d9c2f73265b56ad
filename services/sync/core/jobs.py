"""What each job does with an item it has claimed; every step it stores is guarded by the item's fence."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid5

from libs.clock import Clock
from libs.errors import UpstreamCursorLoop
from libs.tiktok.display_objects import Account, Video, VideoPage
from services.sync.core.places import Places
from services.sync.domain import wording
from services.sync.domain.items import Claim, Ending, GaveBack
from services.sync.domain.outcomes import Outcome
from services.sync.domain.readings import Reading
from services.sync.domain.subjects import Subject

MOST_PAGES = 5_000  # 100,000 videos; TikTok's largest accounts are below


class Accounts(Protocol):
    """TikTok, for the subject of a claim."""

    async def account(self, claim: Claim) -> Reading[Account]:
        """Return the account."""
        ...

    async def video_page(self, claim: Claim) -> Reading[VideoPage]:
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

    def __init__(self, *, accounts: Accounts, snapshots: Snapshots) -> None:
        self._accounts = accounts
        self._snapshots = snapshots

    async def perform(self, claim: Claim) -> Ending:
        """Return how it ended."""
        read = await self._accounts.account(claim)
        await self._snapshots.save_account(claim, read.content, read.asked_at)
        return Ending(outcome=Outcome.SUCCESS, message=wording.account_synced(read.content), records=1)


class VideoJob:
    """Stores a snapshot of every video, page after page, from the page on that the item had come to.

    Between two calls for an account page_spacing seconds pass at least, however long one had waited for its turn.
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
            read = await self._next_page(claim)
            claim = await self._save(claim, read)
            has_more = claim.cursor is not None
            if has_more and self._is_stopping():
                raise GaveBack
            if has_more:
                await self._keep_apart(read.asked_at)
        return Ending(outcome=Outcome.SUCCESS, message=wording.videos_synced(claim.records), records=claim.records)

    async def _next_page(self, claim: Claim) -> Reading[VideoPage]:
        if claim.pages >= MOST_PAGES:
            raise UpstreamCursorLoop
        return await self._accounts.video_page(claim)

    async def _save(self, claim: Claim, read: Reading[VideoPage]) -> Claim:
        cursor = read.content.cursor_after(claim.cursor)
        return await self._snapshots.save_videos(claim, read.content.videos, cursor=cursor, fetched_at=read.asked_at)

    async def _keep_apart(self, asked_at: datetime) -> None:
        early = self._page_spacing - (self._clock.now() - asked_at).total_seconds()
        if early > 0:
            # No longer than that, wherever the clock has been set to since.
            await self._clock.sleep(min(early, self._page_spacing))


class RefreshJob:
    """Refreshes the token when it is due."""

    def __init__(self, *, refresher: Refresher, places: Places) -> None:
        self._refresher = refresher
        self._places = places

    async def perform(self, claim: Claim) -> Ending:
        """Return how it ended."""
        refreshed = await self._refresh(claim)
        message = wording.token_refreshed() if refreshed else wording.token_not_due()
        return Ending(outcome=Outcome.SUCCESS, message=message, refreshed=refreshed)

    async def _refresh(self, claim: Claim) -> bool:
        subject = claim.key.subject
        request_id = str(uuid5(UUID(claim.key.run_id), f"{subject.kind}:{subject.id}"))
        async with self._places.of(claim):
            return await self._refresher.refresh_when_due(subject, request_id)
