"""Counts what TikTok's Display API answers: how calls end, how long they take, and fields that make no sense."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from libs.errors import TokhubError
from libs.secret import Secret
from libs.tiktok.display import DisplayClient
from libs.tiktok.display_objects import Account, VideoPage

USER_INFO, VIDEO_LIST = "user/info", "video/list"


class MeteredDisplay:
    """A DisplayClient that is counted."""

    def __init__(self, *, client: DisplayClient, registry: CollectorRegistry) -> None:
        self._client = client
        self._calls = Counter(
            "tokhub_tiktok_calls", "Calls to TikTok, by outcome.", ["endpoint", "outcome"], registry=registry
        )
        seconds = Histogram(
            "tokhub_tiktok_seconds", "Time a call to TikTok took, in seconds.", ["endpoint"], registry=registry
        )
        oddities = Counter(
            "tokhub_tiktok_oddities", "Fields that made no sense and were left out.", ["endpoint"], registry=registry
        )
        self._seconds = {endpoint: seconds.labels(endpoint) for endpoint in (USER_INFO, VIDEO_LIST)}
        self._oddities = {endpoint: oddities.labels(endpoint) for endpoint in (USER_INFO, VIDEO_LIST)}

    async def user_info(self, token: Secret, *, with_profile: bool) -> Account:
        """Return the account behind the token."""
        with self._measured(USER_INFO):
            account = await self._client.user_info(token, with_profile=with_profile)
        self._oddities[USER_INFO].inc(account.oddities)
        return account

    async def video_page(self, token: Secret, cursor: int | None) -> VideoPage:
        """Return the videos posted before the cursor."""
        with self._measured(VIDEO_LIST):
            page = await self._client.video_page(token, cursor)
        self._oddities[VIDEO_LIST].inc(page.oddities)
        return page

    @contextmanager
    def _measured(self, endpoint: str) -> Iterator[None]:
        outcome = "UNEXPECTED"
        try:
            with self._seconds[endpoint].time():
                yield
            outcome = "OK"
        except TokhubError as error:
            outcome = error.reason.value
            raise
        finally:
            self._calls.labels(endpoint, outcome).inc()
