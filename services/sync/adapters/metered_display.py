"""Counts what TikTok's Display API answers: how calls end, how long they take, and fields that make no sense."""

from collections.abc import Awaitable
from functools import cache
from time import perf_counter
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram

from libs.errors import TokhubError
from libs.secret import Secret
from libs.tiktok.display import DisplayClient
from libs.tiktok.display_objects import Account, VideoPage

USER_INFO, VIDEO_LIST = "user/info", "video/list"

Answer = TypeVar("Answer", Account, VideoPage)


class MeteredDisplay:
    """A DisplayClient that is counted."""

    def __init__(self, *, client: DisplayClient, registry: CollectorRegistry) -> None:
        self._client = client
        calls = Counter(
            "tokhub_tiktok_calls", "Calls to TikTok, by outcome.", ["endpoint", "outcome"], registry=registry
        )
        seconds = Histogram(
            "tokhub_tiktok_seconds", "Time a call to TikTok took, in seconds.", ["endpoint"], registry=registry
        )
        oddities = Counter(
            "tokhub_tiktok_oddities", "Fields that made no sense and were left out.", ["endpoint"], registry=registry
        )
        # Looking labels up costs more than counting.
        self._calls = cache(calls.labels)
        self._seconds = {endpoint: seconds.labels(endpoint) for endpoint in (USER_INFO, VIDEO_LIST)}
        self._oddities = {endpoint: oddities.labels(endpoint) for endpoint in (USER_INFO, VIDEO_LIST)}

    async def user_info(self, token: Secret, *, with_profile: bool) -> Account:
        """Return the account behind the token."""
        return await self._measured(USER_INFO, self._client.user_info(token, with_profile=with_profile))

    async def video_page(self, token: Secret, cursor: int | None) -> VideoPage:
        """Return the videos posted before the cursor."""
        return await self._measured(VIDEO_LIST, self._client.video_page(token, cursor))

    async def _measured(self, endpoint: str, call: Awaitable[Answer]) -> Answer:
        began, outcome = perf_counter(), "UNEXPECTED"
        try:
            answer = await call
            outcome = "OK"
        except TokhubError as error:
            outcome = error.reason.value
            raise
        finally:
            self._seconds[endpoint].observe(perf_counter() - began)
            self._calls(endpoint, outcome).inc()
        if answer.oddities:
            self._oddities[endpoint].inc(answer.oddities)
        return answer
