"""Counts what TikTok's Display API answers: how calls end, how long they take, and fields that make no sense."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from libs.errors import TokhubError
from libs.secret import Secret
from libs.tiktok.display import DisplayClient
from libs.tiktok.display_objects import Account, VideoPage


class MeteredDisplay:
    """A DisplayClient that is counted."""

    def __init__(self, *, client: DisplayClient, registry: CollectorRegistry) -> None:
        self._client = client
        self._calls = Counter(
            "tokhub_tiktok_calls", "Calls to TikTok, by outcome.", ["endpoint", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "tokhub_tiktok_seconds", "Time a call to TikTok took, in seconds.", ["endpoint"], registry=registry
        )
        self._oddities = Counter(
            "tokhub_tiktok_oddities", "Fields that made no sense and were left out.", ["endpoint"], registry=registry
        )

    async def user_info(self, token: Secret, *, with_profile: bool) -> Account:
        """Return the account behind the token."""
        with self._measured("user/info"):
            account = await self._client.user_info(token, with_profile=with_profile)
        self._oddities.labels("user/info").inc(account.oddities)
        return account

    async def video_page(self, token: Secret, cursor: int | None) -> VideoPage:
        """Return the videos posted before the cursor."""
        with self._measured("video/list"):
            page = await self._client.video_page(token, cursor)
        self._oddities.labels("video/list").inc(page.oddities)
        return page

    @contextmanager
    def _measured(self, endpoint: str) -> Iterator[None]:
        outcome = "UNEXPECTED"
        try:
            with self._seconds.labels(endpoint).time():
                yield
            outcome = "OK"
        except TokhubError as error:
            outcome = error.reason.value
            raise
        finally:
            self._calls.labels(endpoint, outcome).inc()
