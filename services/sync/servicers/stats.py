"""StatsService: daily snapshots."""

from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from libs.rpc.interceptor import Context
from services.sync.core.stats import USUAL_VIDEOS, Stats
from services.sync.domain.snapshots import VideoPosition
from services.sync.servicers.page_tokens import video_position, video_token
from services.sync.servicers.translate import user_stats_message, video_stats_message


class StatsServicer(sync_pb2_grpc.StatsServiceServicer):
    """Translates and nothing else."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

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
