"""Daily statistics of a store: …/user-stats and …/video-stats."""

from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response, StreamingResponse
from tokhub.sync.v1 import sync_pb2

from services.gateway.backends import Backends
from services.gateway.parameters import DEFAULT_DAYS, Days, StoreInPath
from services.gateway.routes.answers import many
from services.gateway.routes.tables import as_json
from services.gateway.shapes.reports import Row
from services.gateway.shapes.stats import user_stats, video_stats

# A video with the longest description is 7 KiB: this many stay below gRPC's 4 MiB.
PAGE = 500


class StatsRoutes:
    """Shows snapshots, newest day first."""

    def __init__(self, *, backends: Backends) -> None:
        self._stats = backends.stats

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        store = "/admin/stores/{store_code}"
        router.add_api_route(
            f"{store}/user-stats", self.user_stats, summary="Account statistics by day", tags=["statistics"]
        )
        router.add_api_route(
            f"{store}/video-stats", self.video_stats, summary="Video statistics by day", tags=["statistics"]
        )

    async def user_stats(self, store_code: StoreInPath, days: Days = DEFAULT_DAYS) -> JSONResponse:
        """Answer with the account's snapshots of the last days."""
        request = sync_pb2.ListUserStatsRequest(store_code=store_code, days=days)
        answer = await self._stats.ListUserStats(request)
        return many([user_stats(day) for day in answer.stats])

    async def video_stats(self, store_code: StoreInPath, days: Days = DEFAULT_DAYS) -> Response:
        """Answer with the videos' snapshots of the last days; more than one page is sent as it comes."""
        request = sync_pb2.ListVideoStatsRequest(store_code=store_code, days=days, page_size=PAGE)
        first = await self._stats.ListVideoStats(request)
        rows = [video_stats(day) for day in first.stats]
        if not first.next_page_token:
            return many(rows)
        return StreamingResponse(
            as_json(rows, self._pages_after(first.next_page_token, request)), media_type="application/json"
        )

    async def _pages_after(self, token: str, request: sync_pb2.ListVideoStatsRequest) -> AsyncIterator[list[Row]]:
        while token:
            request.page_token = token
            page = await self._stats.ListVideoStats(request)
            yield [video_stats(day) for day in page.stats]
            token = page.next_page_token
