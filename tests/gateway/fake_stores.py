"""StoreService, StatsService and ReportService behind the gateway, from memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tokhub.sync.v1 import account_pb2, export_pb2, report_pb2, report_pb2_grpc, sync_pb2, sync_pb2_grpc

from libs.errors import (
    ConnectionNotFound,
    StorageUnavailable,
    StoreExists,
    StoreNotFound,
    TokhubError,
)
from tests.gateway.scripted import NEW_YEAR, Scripted


class FakeStores(sync_pb2_grpc.StoreServiceServicer):
    def __init__(self, script: Scripted) -> None:
        self.script = script
        self.rows: dict[str, sync_pb2.Store] = {}

    def add(self, code: str, **values: Any) -> sync_pb2.Store:
        entry: dict[str, Any] = {
            "store_name": f"Store {code}",
            "pic_name": "John Doe",
            "team_id": 1,
            "create_time": NEW_YEAR,
        }
        self.rows[code] = sync_pb2.Store(store_code=code, **(entry | values))
        return self.rows[code]

    def find(self, code: str) -> sync_pb2.Store:
        if code not in self.rows:
            raise StoreNotFound
        return self.rows[code]

    async def CreateStore(self, request: sync_pb2.CreateStoreRequest, _context: Any) -> sync_pb2.CreateStoreResponse:
        self.script.begin()
        if request.store_code in self.rows:
            raise StoreExists
        contact = {"pic_contact": request.pic_contact} if request.HasField("pic_contact") else {}
        store = self.add(request.store_code, store_name=request.store_name, pic_name=request.pic_name, **contact)
        return sync_pb2.CreateStoreResponse(store=store)

    async def GetStore(self, request: sync_pb2.GetStoreRequest, _context: Any) -> sync_pb2.GetStoreResponse:
        self.script.begin()
        return sync_pb2.GetStoreResponse(store=self.find(request.store_code))

    async def ListStores(self, request: sync_pb2.ListStoresRequest, _context: Any) -> sync_pb2.ListStoresResponse:
        self.script.begin()
        codes = sorted(code for code in self.rows if code > request.page_token)
        page = codes[: request.page_size or 100]
        more = page[-1] if len(codes) > len(page) else ""
        return sync_pb2.ListStoresResponse(stores=[self.rows[code] for code in page], next_page_token=more)

    async def CountStores(self, _request: sync_pb2.CountStoresRequest, _context: Any) -> sync_pb2.CountStoresResponse:
        self.script.begin()
        count = sync_pb2.StoreCount(status=sync_pb2.STORE_STATUS_CONNECTED, stores=len(self.rows))
        return sync_pb2.CountStoresResponse(counts=[count])

    async def UpdateStore(self, request: sync_pb2.UpdateStoreRequest, _context: Any) -> sync_pb2.UpdateStoreResponse:
        self.script.begin()
        store = self.find(request.store_code)
        if "pic_contact" in request.update_mask.paths:
            store.ClearField("pic_contact")
        for descriptor, value in request.ListFields():
            if descriptor.name in request.update_mask.paths:
                setattr(store, descriptor.name, value)
        return sync_pb2.UpdateStoreResponse(store=store)

    async def DeleteStore(self, request: sync_pb2.DeleteStoreRequest, _context: Any) -> sync_pb2.DeleteStoreResponse:
        self.script.begin()
        del self.rows[self.find(request.store_code).store_code]
        return sync_pb2.DeleteStoreResponse()


class FakeStats(sync_pb2_grpc.StatsServiceServicer):
    def __init__(self, stores: FakeStores) -> None:
        self.stores = stores
        self.users: list[sync_pb2.UserStats] = []
        self.videos: list[sync_pb2.VideoStats] = []
        self.days_asked: list[int] = []
        self.creators: dict[str, account_pb2.AccountMetrics] = {}
        self.exports_asked: list[export_pb2.ExportStatsRequest] = []
        self.export_parts: list[bytes] = [b"all"]
        self.export_fails: TokhubError | None = None
        self.export_may_end = asyncio.Event()
        self.export_may_end.set()
        self.export_begun, self.export_left = asyncio.Event(), asyncio.Event()

    async def GetAccountMetrics(
        self, request: account_pb2.GetAccountMetricsRequest, _context: Any
    ) -> account_pb2.GetAccountMetricsResponse:
        if request.user_id not in self.creators:
            raise ConnectionNotFound
        return account_pb2.GetAccountMetricsResponse(metrics=self.creators[request.user_id])

    async def ExportStats(
        self, request: export_pb2.ExportStatsRequest, _context: Any
    ) -> AsyncIterator[export_pb2.ExportStatsResponse]:
        self.exports_asked.append(request)
        self.export_begun.set()
        try:
            for part in self.export_parts:
                yield export_pb2.ExportStatsResponse(data=part)
            await self.export_may_end.wait()
            if self.export_fails:
                raise self.export_fails
        finally:
            self.export_left.set()

    async def ListUserStats(
        self, request: sync_pb2.ListUserStatsRequest, _context: Any
    ) -> sync_pb2.ListUserStatsResponse:
        self.stores.find(request.store_code)
        self.days_asked.append(request.days)
        return sync_pb2.ListUserStatsResponse(stats=[day for day in self.users if day.store_code == request.store_code])

    async def ListVideoStats(
        self, request: sync_pb2.ListVideoStatsRequest, _context: Any
    ) -> sync_pb2.ListVideoStatsResponse:
        self.stores.find(request.store_code)
        self.days_asked.append(request.days)
        mine = [day for day in self.videos if day.store_code == request.store_code]
        begin = int(request.page_token or 0)
        end = begin + (request.page_size or 1000)
        return sync_pb2.ListVideoStatsResponse(
            stats=mine[begin:end], next_page_token=str(end) if end < len(mine) else ""
        )


class FakeReports(report_pb2_grpc.ReportServiceServicer):
    def __init__(self) -> None:
        self.script = Scripted()
        self.periods: list[tuple[str, str]] = []
        self.growth: list[report_pb2.StoreGrowth] = []
        self.videos: list[report_pb2.TopVideo] = []
        self.totals: list[report_pb2.DailyTotals] = []
        self.days: list[report_pb2.Completeness] = []
        self.break_after = 0  # pages of growth

    def begin(self, period: report_pb2.Period) -> None:
        self.periods.append((period.from_date, period.to_date))
        self.script.begin()

    async def ListGrowth(self, request: report_pb2.ListGrowthRequest, _context: Any) -> report_pb2.ListGrowthResponse:
        self.begin(request.period)
        if self.break_after and len(self.periods) > self.break_after:
            raise StorageUnavailable
        begin = int(request.page_token or 0)
        end = begin + request.page_size
        more = str(end) if end < len(self.growth) else ""
        return report_pb2.ListGrowthResponse(growth=self.growth[begin:end], next_page_token=more)

    async def ListTopVideos(
        self, request: report_pb2.ListTopVideosRequest, _context: Any
    ) -> report_pb2.ListTopVideosResponse:
        self.begin(request.period)
        return report_pb2.ListTopVideosResponse(videos=self.videos[: request.limit])

    async def ListDailyTotals(
        self, request: report_pb2.ListDailyTotalsRequest, _context: Any
    ) -> report_pb2.ListDailyTotalsResponse:
        self.begin(request.period)
        return report_pb2.ListDailyTotalsResponse(totals=self.totals)

    async def ListCompleteness(
        self, request: report_pb2.ListCompletenessRequest, _context: Any
    ) -> report_pb2.ListCompletenessResponse:
        self.begin(request.period)
        return report_pb2.ListCompletenessResponse(days=self.days)
