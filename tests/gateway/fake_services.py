"""The services behind the gateway, from memory: they obey the contract and can be told what happens next."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from tokhub.sync.v1 import account_pb2, export_pb2, report_pb2, report_pb2_grpc, sync_pb2, sync_pb2_grpc
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import (
    ConnectionNotFound,
    RunAlreadyActive,
    RunNotFound,
    StateInvalid,
    StateReused,
    StorageUnavailable,
    StoreExists,
    StoreNotFound,
    TokhubError,
)
from libs.rpc.request_id import current_request_id
from services.gateway.shapes.runs import has_ended

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORIZE = "https://tiktok.example/v2/auth/authorize/"


@dataclass
class Scripted:
    """An error the next call of a service ends with, and the request ids it was called with."""

    fail_next: TokhubError | None = None
    request_ids: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.request_ids.append(current_request_id())
        if self.fail_next:
            failure, self.fail_next = self.fail_next, None
            raise failure


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

    async def CreateStore(self, request: sync_pb2.CreateStoreRequest, _context: Any) -> sync_pb2.CreateStoreResponse:  # noqa: N802 - the proto names the method
        self.script.begin()
        if request.store_code in self.rows:
            raise StoreExists
        contact = {"pic_contact": request.pic_contact} if request.HasField("pic_contact") else {}
        store = self.add(request.store_code, store_name=request.store_name, pic_name=request.pic_name, **contact)
        return sync_pb2.CreateStoreResponse(store=store)

    async def GetStore(self, request: sync_pb2.GetStoreRequest, _context: Any) -> sync_pb2.GetStoreResponse:  # noqa: N802 - the proto names the method
        self.script.begin()
        return sync_pb2.GetStoreResponse(store=self.find(request.store_code))

    async def ListStores(self, request: sync_pb2.ListStoresRequest, _context: Any) -> sync_pb2.ListStoresResponse:  # noqa: N802 - the proto names the method
        self.script.begin()
        codes = sorted(code for code in self.rows if code > request.page_token)
        page = codes[: request.page_size or 100]
        more = page[-1] if len(codes) > len(page) else ""
        return sync_pb2.ListStoresResponse(stores=[self.rows[code] for code in page], next_page_token=more)

    async def UpdateStore(self, request: sync_pb2.UpdateStoreRequest, _context: Any) -> sync_pb2.UpdateStoreResponse:  # noqa: N802 - the proto names the method
        self.script.begin()
        store = self.find(request.store_code)
        if "pic_contact" in request.update_mask.paths:
            store.ClearField("pic_contact")
        for descriptor, value in request.ListFields():
            if descriptor.name in request.update_mask.paths:
                setattr(store, descriptor.name, value)
        return sync_pb2.UpdateStoreResponse(store=store)

    async def DeleteStore(self, request: sync_pb2.DeleteStoreRequest, _context: Any) -> sync_pb2.DeleteStoreResponse:  # noqa: N802 - the proto names the method
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

    async def GetAccountMetrics(  # noqa: N802 - the proto names the method
        self, request: account_pb2.GetAccountMetricsRequest, _context: Any
    ) -> account_pb2.GetAccountMetricsResponse:
        if request.user_id not in self.creators:
            raise ConnectionNotFound
        return account_pb2.GetAccountMetricsResponse(metrics=self.creators[request.user_id])

    async def ExportStats(  # noqa: N802 - the proto names the method
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

    async def ListUserStats(  # noqa: N802 - the proto names the method
        self, request: sync_pb2.ListUserStatsRequest, _context: Any
    ) -> sync_pb2.ListUserStatsResponse:
        self.stores.find(request.store_code)
        self.days_asked.append(request.days)
        return sync_pb2.ListUserStatsResponse(stats=[day for day in self.users if day.store_code == request.store_code])

    async def ListVideoStats(  # noqa: N802 - the proto names the method
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

    async def ListGrowth(self, request: report_pb2.ListGrowthRequest, _context: Any) -> report_pb2.ListGrowthResponse:  # noqa: N802 - the proto names the method
        self.begin(request.period)
        if self.break_after and len(self.periods) > self.break_after:
            raise StorageUnavailable
        begin = int(request.page_token or 0)
        end = begin + request.page_size
        more = str(end) if end < len(self.growth) else ""
        return report_pb2.ListGrowthResponse(growth=self.growth[begin:end], next_page_token=more)

    async def ListTopVideos(  # noqa: N802 - the proto names the method
        self, request: report_pb2.ListTopVideosRequest, _context: Any
    ) -> report_pb2.ListTopVideosResponse:
        self.begin(request.period)
        return report_pb2.ListTopVideosResponse(videos=self.videos[: request.limit])

    async def ListDailyTotals(  # noqa: N802 - the proto names the method
        self, request: report_pb2.ListDailyTotalsRequest, _context: Any
    ) -> report_pb2.ListDailyTotalsResponse:
        self.begin(request.period)
        return report_pb2.ListDailyTotalsResponse(totals=self.totals)

    async def ListCompleteness(  # noqa: N802 - the proto names the method
        self, request: report_pb2.ListCompletenessRequest, _context: Any
    ) -> report_pb2.ListCompletenessResponse:
        self.begin(request.period)
        return report_pb2.ListCompletenessResponse(days=self.days)


class FakeRun:
    """A run that does what the test says; watchers come and go."""

    def __init__(self, job: sync_pb2.Job.ValueType, store_code: str, total: int) -> None:
        self.row = sync_pb2.Run(
            id=str(uuid.uuid4()), job=job, store_code=store_code, state=sync_pb2.RUN_STATE_QUEUED, total=total
        )
        self.ended: list[sync_pb2.EndedStore] = []
        self.watchers = 0
        self.watches_left = 0
        self.most_ended = 500
        self.changed = asyncio.Condition()

    async def change(self, **values: Any) -> None:
        ended = values.pop("ended", [])
        jobs = values.pop("jobs", [])
        async with self.changed:
            self.row.MergeFrom(sync_pb2.Run(sequence=self.row.sequence + 1, **values))
            self.row.jobs.extend(jobs)
            self.ended += [sync_pb2.EndedStore(sequence=self.row.sequence, **one) for one in ended]
            self.changed.notify_all()

    async def finish(self, state: sync_pb2.RunState.ValueType = sync_pb2.RUN_STATE_SUCCEEDED, **values: Any) -> None:
        await self.change(state=state, finish_time=NEW_YEAR + timedelta(hours=1), **values)

    async def watched(self) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.watchers > 0)

    async def unwatched(self) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.watches_left > 0)

    def progress(self, after: int) -> sync_pb2.Progress:
        row = self.row
        return sync_pb2.Progress(
            run_id=row.id,
            sequence=row.sequence,
            job=row.job,
            state=row.state,
            total=row.total,
            processed=row.processed,
            succeeded=row.succeeded,
            failed=row.failed,
            skipped=row.skipped,
            videos=row.videos,
            percent=100 * row.processed / row.total if row.total else 0,
            ended_stores=[one for one in self.ended if one.sequence > after],
            jobs=row.jobs,
        )

    def pages(self, after: int) -> list[sync_pb2.Progress]:
        """Return the present state; ended stores that are too many for one message come in several."""
        whole = self.progress(after)
        rest, messages = list(whole.ended_stores), []
        while len(rest) > self.most_ended:
            page, rest = rest[: self.most_ended], rest[self.most_ended :]
            messages.append(self.progress(after))
            messages[-1].sequence = page[-1].sequence
            del messages[-1].ended_stores[:]
            messages[-1].ended_stores.extend(page)
        del whole.ended_stores[:]
        whole.ended_stores.extend(rest)
        return [*messages, whole]

    async def watch(self, after: int) -> AsyncIterator[sync_pb2.Progress]:
        self.watchers += 1
        try:
            async with self.changed:
                self.changed.notify_all()
                pages = self.pages(after)
            for message in pages:
                yield message
            while not has_ended(message.state):
                message = await self.after(message.sequence)
                yield message
        finally:
            self.watchers -= 1
            self.watches_left += 1
            await self._tell()

    async def after(self, sequence: int) -> sync_pb2.Progress:
        async with self.changed:
            await self.changed.wait_for(lambda: self.row.sequence > sequence)
            return self.progress(sequence)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


class FakeSync(sync_pb2_grpc.SyncServiceServicer):
    def __init__(self, stores: FakeStores, connections: "FakeConnections") -> None:
        self.stores = stores
        self.connections = connections
        self.runs: dict[str, FakeRun] = {}
        self.started: asyncio.Queue[FakeRun] = asyncio.Queue()
        self.logs: list[sync_pb2.SyncLog] = []
        self.schedule = sync_pb2.GetScheduleResponse(enabled=True, timezone="UTC")
        self.schedules_told = 0
        self.limits_asked: list[int] = []
        self.cancelled: list[str] = []
        self.break_watches = 0
        self.plan: Any = None  # a coroutine function that plays a run as soon as it is started

    def active(self, scope: tuple[int, str]) -> FakeRun | None:
        same = (run for run in self.runs.values() if (run.row.job, run.row.store_code) == scope)
        return next((run for run in same if not has_ended(run.row.state)), None)

    def begin(self, job: sync_pb2.Job.ValueType, store_code: str = "") -> FakeRun:
        run = FakeRun(job, store_code, 1 if store_code else len(self.stores.rows))
        self.runs[run.row.id] = run
        return run

    async def StartSync(self, request: sync_pb2.StartSyncRequest, _context: Any) -> sync_pb2.StartSyncResponse:  # noqa: N802 - the proto names the method
        self.stores.script.begin()
        code = request.store_code
        if code:
            self.stores.find(code)
            if not any(one.owner.id == code for one in self.connections.rows):
                raise ConnectionNotFound
        if active := self.active((request.job, code)):
            raise RunAlreadyActive(metadata={"run_id": active.row.id})
        run = self.begin(request.job, code)
        self.started.put_nowait(run)
        answer = sync_pb2.StartSyncResponse(run=run.row)
        if self.plan:
            await self.plan(run)
        return answer

    async def WatchSync(  # noqa: N802 - the proto names the method
        self, request: sync_pb2.WatchSyncRequest, _context: Any
    ) -> AsyncIterator[sync_pb2.WatchSyncResponse]:
        if request.run_id not in self.runs:
            raise RunNotFound
        async for message in self.runs[request.run_id].watch(request.after_sequence):
            yield sync_pb2.WatchSyncResponse(progress=message)
            if self.break_watches:
                self.break_watches -= 1
                return

    async def RunSync(  # noqa: N802 - the proto names the method
        self, _request: sync_pb2.RunSyncRequest, _context: Any
    ) -> AsyncIterator[sync_pb2.RunSyncResponse]:
        raise AssertionError("the gateway never calls RunSync")
        yield sync_pb2.RunSyncResponse()

    async def GetRun(self, request: sync_pb2.GetRunRequest, _context: Any) -> sync_pb2.GetRunResponse:  # noqa: N802 - the proto names the method
        if request.run_id not in self.runs:
            raise RunNotFound
        run = self.runs[request.run_id]
        return sync_pb2.GetRunResponse(run=run.row, ended_stores=run.ended if run.row.store_code else [])

    async def ListRuns(self, request: sync_pb2.ListRunsRequest, _context: Any) -> sync_pb2.ListRunsResponse:  # noqa: N802 - the proto names the method
        self.limits_asked.append(request.page_size)
        rows = [run.row for run in reversed(self.runs.values())]
        chosen = [row for row in rows if not (request.active_only and has_ended(row.state))]
        begin = int(request.page_token or 0)
        end = begin + request.page_size
        more = str(end) if end < len(chosen) else ""
        return sync_pb2.ListRunsResponse(runs=chosen[begin:end], next_page_token=more)

    async def CancelRun(self, request: sync_pb2.CancelRunRequest, _context: Any) -> sync_pb2.CancelRunResponse:  # noqa: N802 - the proto names the method
        if request.run_id not in self.runs:
            raise RunNotFound
        run = self.runs[request.run_id]
        if not has_ended(run.row.state):
            await run.finish(sync_pb2.RUN_STATE_CANCELLED)
        return sync_pb2.CancelRunResponse(run=run.row)

    async def GetSchedule(self, _request: sync_pb2.GetScheduleRequest, _context: Any) -> sync_pb2.GetScheduleResponse:  # noqa: N802 - the proto names the method
        self.schedules_told += 1
        return self.schedule

    async def RunScheduledJob(  # noqa: N802 - the proto names the method
        self, _request: sync_pb2.RunScheduledJobRequest, _context: Any
    ) -> sync_pb2.RunScheduledJobResponse:
        raise AssertionError("the gateway never starts a scheduled job")

    async def ListSyncLogs(self, request: sync_pb2.ListSyncLogsRequest, _context: Any) -> sync_pb2.ListSyncLogsResponse:  # noqa: N802 - the proto names the method
        self.limits_asked.append(request.limit)
        if request.store_code:
            self.stores.find(request.store_code)
        chosen = [line for line in self.logs if not request.store_code or line.store_code == request.store_code]
        return sync_pb2.ListSyncLogsResponse(logs=chosen[: request.limit])


class FakeConnections(token_pb2_grpc.ConnectionServiceServicer):
    def __init__(self) -> None:
        self.script = Scripted()
        self.rows: list[token_pb2.Connection] = []
        self.links: dict[str, tuple[token_pb2.StartAuthorizationRequest, str]] = {}
        self.used: set[str] = set()
        self.completions: list[token_pb2.CompleteAuthorizationRequest] = []
        self.events: list[token_pb2.HandleProviderEventRequest] = []

    def connect(self, code: str, number: int, **values: Any) -> token_pb2.Connection:
        entry: dict[str, Any] = {
            "provider": token_pb2.PROVIDER_LOGIN_KIT,
            "account_id": f"open_{code}",
            "status": token_pb2.CONNECTION_STATUS_ACTIVE,
            "connect_time": NEW_YEAR + timedelta(days=1, hours=10),
            "update_time": NEW_YEAR + timedelta(days=23, hours=2),
            "access_expire_time": NEW_YEAR + timedelta(days=24, hours=10),
            "hours_left": 1.5,
        }
        owner = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=code)
        connection = token_pb2.Connection(id=str(uuid.uuid4()), number=number, owner=owner, **(entry | values))
        self.rows.append(connection)
        return connection

    async def StartAuthorization(  # noqa: N802 - the proto names the method
        self, request: token_pb2.StartAuthorizationRequest, _context: Any
    ) -> token_pb2.StartAuthorizationResponse:
        self.script.begin()
        state = f"CNRYstate{uuid.uuid4().hex}"
        nonce = uuid.uuid4().hex if request.binding == token_pb2.LINK_BINDING_BROWSER else ""
        self.links[state] = (request, nonce)
        return token_pb2.StartAuthorizationResponse(
            authorize_url=f"{AUTHORIZE}?client_key=k&state={state}",
            state=state,
            browser_nonce=nonce,
            expire_time=Timestamp(seconds=int(NEW_YEAR.timestamp()) + request.ttl.seconds),
        )

    async def CompleteAuthorization(  # noqa: N802 - the proto names the method
        self, request: token_pb2.CompleteAuthorizationRequest, _context: Any
    ) -> token_pb2.CompleteAuthorizationResponse:
        self.completions.append(request)
        self.script.begin()
        if request.state not in self.links:
            raise StateInvalid
        link, nonce = self.links[request.state]
        if nonce and nonce != request.browser_nonce:
            raise StateInvalid
        if request.state in self.used:
            raise StateReused
        self.used.add(request.state)
        return token_pb2.CompleteAuthorizationResponse(connection=self.connect(link.owner.id, len(self.rows) + 1))

    async def HandleProviderEvent(  # noqa: N802 - the proto names the method
        self, request: token_pb2.HandleProviderEventRequest, _context: Any
    ) -> token_pb2.HandleProviderEventResponse:
        self.events.append(request)
        self.script.begin()
        return token_pb2.HandleProviderEventResponse(outcome=token_pb2.EVENT_OUTCOME_APPLIED)

    async def GetConnection(  # noqa: N802 - the proto names the method
        self, _request: token_pb2.GetConnectionRequest, _context: Any
    ) -> token_pb2.GetConnectionResponse:
        raise ConnectionNotFound

    async def ListConnections(  # noqa: N802 - the proto names the method
        self, request: token_pb2.ListConnectionsRequest, _context: Any
    ) -> token_pb2.ListConnectionsResponse:
        mine = [
            one
            for one in self.rows
            if one.owner.kind == request.owner_kind and (not request.owner_ids or one.owner.id in request.owner_ids)
        ]
        begin = int(request.page_token or 0)
        end = begin + (request.page_size or 100)
        more = str(end) if end < len(mine) else ""
        return token_pb2.ListConnectionsResponse(connections=mine[begin:end], next_page_token=more)
