"""Reports over a period: /admin/reports and below."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.responses import Response
from tokhub.sync.v1 import report_pb2

from services.gateway.backends import Backends
from services.gateway.parameters import DEFAULT_LIMIT, FirstDay, Format, LastDay, Limit, TableFormat
from services.gateway.routes.tables import Table, send
from services.gateway.shapes import reports as shapes

PAGE = 500
TIMEOUT = 125.0  # seconds; the service gives up a little earlier

Entry = TypeVar("Entry")


class ReportRoutes:
    """Shows what the snapshots of all stores come to."""

    def __init__(self, *, backends: Backends) -> None:
        self._reports = backends.reports

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        routes: Iterable[tuple[str, Any, str]] = (
            ("growth", self.growth, "Growth of each store over a period"),
            ("top-videos", self.top_videos, "The videos that gained most views in a period"),
            ("daily-totals", self.daily_totals, "Sums over all stores by day"),
            ("completeness", self.completeness, "What each day has, and why the rest is missing"),
        )
        for name, route, summary in routes:
            router.add_api_route(f"/admin/reports/{name}", route, summary=summary, tags=["reports"])

    async def growth(
        self, first: FirstDay = "", last: LastDay = "", table_format: Format = TableFormat.JSON
    ) -> Response:
        """Answer with every store and how its account grew."""
        pages = self._growth(report_pb2.Period(from_date=first, to_date=last))
        return await send(Table(name="growth", columns=shapes.GROWTH, pages=pages), table_format)

    async def top_videos(
        self,
        first: FirstDay = "",
        last: LastDay = "",
        limit: Limit = DEFAULT_LIMIT,
        table_format: Format = TableFormat.JSON,
    ) -> Response:
        """Answer with the videos that gained most views."""
        period = report_pb2.Period(from_date=first, to_date=last)
        request = report_pb2.ListTopVideosRequest(period=period, limit=limit)
        videos = (await self._reports.ListTopVideos(request, timeout=TIMEOUT)).videos
        pages = one_page(shapes.top_video, videos)
        return await send(Table(name="top-videos", columns=shapes.TOP_VIDEOS, pages=pages), table_format)

    async def daily_totals(
        self, first: FirstDay = "", last: LastDay = "", table_format: Format = TableFormat.JSON
    ) -> Response:
        """Answer with the sums of every day."""
        period = report_pb2.Period(from_date=first, to_date=last)
        request = report_pb2.ListDailyTotalsRequest(period=period)
        totals = (await self._reports.ListDailyTotals(request, timeout=TIMEOUT)).totals
        pages = one_page(shapes.daily_totals, totals)
        return await send(Table(name="daily-totals", columns=shapes.DAILY_TOTALS, pages=pages), table_format)

    async def completeness(
        self, first: FirstDay = "", last: LastDay = "", table_format: Format = TableFormat.JSON
    ) -> Response:
        """Answer with what each day has of what it should have."""
        period = report_pb2.Period(from_date=first, to_date=last)
        request = report_pb2.ListCompletenessRequest(period=period)
        days = (await self._reports.ListCompleteness(request, timeout=TIMEOUT)).days
        pages = one_page(shapes.completeness, days)
        return await send(Table(name="completeness", columns=shapes.COMPLETENESS, pages=pages), table_format)

    async def _growth(self, period: report_pb2.Period) -> AsyncIterator[list[shapes.Row]]:
        request = report_pb2.ListGrowthRequest(period=period, page_size=PAGE)
        while True:
            page = await self._reports.ListGrowth(request)
            yield [shapes.growth(store) for store in page.growth]
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


async def one_page(shape: Callable[[Entry], shapes.Row], entries: Iterable[Entry]) -> AsyncIterator[list[shapes.Row]]:
    """Yield the rows of a report that comes whole."""
    yield [shape(entry) for entry in entries]
