"""ReportService: figures over a period."""

from tokhub.sync.v1 import report_pb2, report_pb2_grpc

from libs.rpc.identity import Context
from services.sync.core.reports import USUAL_STORES, Reports
from services.sync.domain.reports import Period
from services.sync.servicers.page_tokens import growth_behind, growth_token
from services.sync.servicers.translate_reports import (
    completeness_message,
    growth_message,
    top_video_message,
    totals_message,
)


class ReportServicer(report_pb2_grpc.ReportServiceServicer):
    """Translates and nothing else."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    async def ListGrowth(
        self, request: report_pb2.ListGrowthRequest, context: Context
    ) -> report_pb2.ListGrowthResponse:
        """Return a page of stores with their growth."""
        size = request.page_size or USUAL_STORES
        after = growth_behind(request.page_token)
        rows = await self._reports.growth(self._period(request.period), after=after, limit=size + 1)
        shown, more = rows[:size], len(rows) > size
        return report_pb2.ListGrowthResponse(
            growth=[growth_message(row) for row in shown],
            next_page_token=growth_token(shown[-1].store_code) if more else "",
        )

    async def ListTopVideos(
        self, request: report_pb2.ListTopVideosRequest, context: Context
    ) -> report_pb2.ListTopVideosResponse:
        """Return the videos that gained most."""
        rows = await self._reports.top_videos(
            self._period(request.period), limit=request.limit, store_code=request.store_code
        )
        return report_pb2.ListTopVideosResponse(videos=[top_video_message(row) for row in rows])

    async def ListDailyTotals(
        self, request: report_pb2.ListDailyTotalsRequest, context: Context
    ) -> report_pb2.ListDailyTotalsResponse:
        """Return the sums by day."""
        rows = await self._reports.daily_totals(self._period(request.period), store_code=request.store_code)
        return report_pb2.ListDailyTotalsResponse(totals=[totals_message(row) for row in rows])

    async def ListCompleteness(
        self, request: report_pb2.ListCompletenessRequest, context: Context
    ) -> report_pb2.ListCompletenessResponse:
        """Return how complete each day is."""
        rows = await self._reports.completeness(self._period(request.period))
        return report_pb2.ListCompletenessResponse(days=[completeness_message(row) for row in rows])

    def _period(self, period: report_pb2.Period) -> Period:
        return self._reports.period(period.from_date, period.to_date)
