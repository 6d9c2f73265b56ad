"""The sentences of the sync log that people read and search for."""

from datetime import datetime

from libs.tiktok.display_objects import Account
from services.sync.domain.jobs import Job
from services.sync.domain.runs import JobCounts


def account_synced(account: Account) -> str:
    """Say what an account's snapshot holds."""
    followers, videos = (
        "unknown" if count is None else str(count) for count in (account.follower_count, account.video_count)
    )
    return f"User stats synced successfully: {followers} followers, {videos} videos"


def videos_synced(videos: int) -> str:
    """Say how many videos were stored."""
    return f"Video stats synced successfully: {videos} videos"


def token_refreshed() -> str:
    """Say that a token is new."""
    return "Token refreshed successfully"


def token_not_due() -> str:
    """Say that a token was left alone."""
    return "Token is still valid: no refresh was due"


def job_ended(counts: JobCounts) -> str:
    """Say how one job ended over all stores."""
    ended = f"{counts.failed} failed, {counts.skipped} skipped"
    if counts.job is Job.REFRESH_TOKENS:
        return f"Refreshed {counts.refreshed}/{counts.total} tokens, {ended}"
    return f"Synced {counts.succeeded}/{counts.total} stores, {ended}"


def tick_missed(fire_at: datetime) -> str:
    """Say that a tick was noticed too late."""
    return f"Skipped: nothing could start the run of {fire_at.isoformat(timespec='minutes')}; start it by hand"


def tick_overlapped(run_id: str) -> str:
    """Say that a tick came while a run of the same scope was at work."""
    return f"Skipped: run {run_id} of the same job is still at work"


def job_cancelled(counts: JobCounts) -> str:
    """Say how far one job had come when its run was cancelled."""
    return f"Cancelled after {counts.processed}/{counts.total} stores, {counts.failed} failed, {counts.skipped} skipped"
