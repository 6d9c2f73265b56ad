"""The sentences of the sync log that people read and search for."""

from libs.tiktok.display_objects import Account

NEEDS_RECONNECT = "Skipped: the TikTok account must be connected again"


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


def job_ended(*, succeeded: int, total: int, failed: int, skipped: int) -> str:
    """Say how one job ended over all stores."""
    return f"Synced {succeeded}/{total} stores, {failed} failed, {skipped} skipped"


def refresh_ended(*, refreshed: int, total: int, failed: int, skipped: int) -> str:
    """Say how the refresh of all tokens ended."""
    return f"Refreshed {refreshed}/{total} tokens, {failed} failed, {skipped} skipped"
