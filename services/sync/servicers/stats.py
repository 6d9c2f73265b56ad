"""StatsService: daily snapshots."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from tokhub.sync.v1 import account_pb2, export_pb2, sync_pb2, sync_pb2_grpc

from libs.rpc.identity import Context
from services.sync.core.export import Exports
from services.sync.core.metrics import CreatorMetrics
from services.sync.core.stats import USUAL_VIDEOS, Stats
from services.sync.domain.snapshots import VideoPosition
from services.sync.servicers.page_tokens import video_position, video_token
from services.sync.servicers.translate import metrics_message, user_stats_message, video_stats_message
from services.sync.servicers.translate_exports import order_of


class StatsServicer(sync_pb2_grpc.StatsServiceServicer):
    """Translates and nothing else."""

    def __init__(self, *, stats: Stats, exports: Exports, creators: CreatorMetrics) -> None:
        self._stats = stats
        self._creators = creators
        self._exports = exports

    async def ListUserStats(
        self, request: sync_pb2.ListUserStatsRequest, context: Context
    ) -> sync_pb2.ListUserStatsResponse:
        """Return a store's account snapshots."""
        rows = await self._stats.accounts(request.store_code, days=request.days)
        return sync_pb2.ListUserStatsResponse(stats=[user_stats_message(row) for row in rows])

    async def ListVideoStats(
        self, request: sync_pb2.ListVideoStatsRequest, context: Context
    ) -> sync_pb2.ListVideoStatsResponse:
        """Return a page of a store's video snapshots."""
        size = request.page_size or USUAL_VIDEOS
        position = video_position(request.page_token)
        rows = await self._stats.videos(request.store_code, days=request.days, after=position, limit=size + 1)
        shown, more = rows[:size], len(rows) > size
        end = VideoPosition(shown[-1].snapshot_date, shown[-1].video_id) if more else None
        return sync_pb2.ListVideoStatsResponse(
            stats=[video_stats_message(row) for row in shown], next_page_token=video_token(end) if end else ""
        )

    async def ExportStats(
        self, request: export_pb2.ExportStatsRequest, context: Context
    ) -> AsyncIterator[export_pb2.ExportStatsResponse]:
        """Stream a file of snapshots."""
        period = self._exports.period(request.period.from_date, request.period.to_date)
        async with aclosing(self._exports.stream(order_of(request, period))) as parts:
            async for part in parts:
                yield export_pb2.ExportStatsResponse(data=part)

    async def GetAccountMetrics(
        self, request: account_pb2.GetAccountMetricsRequest, context: Context
    ) -> account_pb2.GetAccountMetricsResponse:
        """Return a creator's account."""
        return account_pb2.GetAccountMetricsResponse(metrics=metrics_message(await self._creators.of(request.user_id)))
