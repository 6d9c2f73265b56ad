"""SyncService behind the gateway, from memory: its runs do what a test says."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from libs.errors import (
    ConnectionNotFound,
    RunAlreadyActive,
    RunNotFound,
)
from libs.runs.following import has_ended
from tests.gateway.fake_connections import FakeConnections
from tests.gateway.fake_stores import FakeStores
from tests.gateway.scripted import NEW_YEAR


class FakeRun:
    """A run that does what the test says; watchers come and go."""

    def __init__(self, job: sync_pb2.Job.ValueType, store_code: str, total: int, user_id: str = "") -> None:
        self.row = sync_pb2.Run(
            id=str(uuid.uuid4()), job=job, store_code=store_code, state=sync_pb2.RUN_STATE_QUEUED, total=total
        )
        self.row.user_id = user_id
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
    def __init__(self, stores: FakeStores, connections: FakeConnections) -> None:
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

    def active(self, scope: tuple[int, str, str]) -> FakeRun | None:
        same = (run for run in self.runs.values() if (run.row.job, run.row.store_code, run.row.user_id) == scope)
        return next((run for run in same if not has_ended(run.row.state)), None)

    def begin(self, job: sync_pb2.Job.ValueType, store_code: str = "", user_id: str = "") -> FakeRun:
        run = FakeRun(job, store_code, 1 if store_code or user_id else len(self.stores.rows), user_id)
        self.runs[run.row.id] = run
        return run

    async def StartSync(self, request: sync_pb2.StartSyncRequest, _context: Any) -> sync_pb2.StartSyncResponse:
        self.stores.script.begin()
        code = request.store_code
        if code:
            self.stores.find(code)
        if (one := code or request.user_id) and not any(row.owner.id == one for row in self.connections.rows):
            raise ConnectionNotFound
        if active := self.active((request.job, code, request.user_id)):
            raise RunAlreadyActive(metadata={"run_id": active.row.id})
        run = self.begin(request.job, code, request.user_id)
        self.started.put_nowait(run)
        answer = sync_pb2.StartSyncResponse(run=run.row)
        if self.plan:
            await self.plan(run)
        return answer

    async def WatchSync(
        self, request: sync_pb2.WatchSyncRequest, _context: Any
    ) -> AsyncIterator[sync_pb2.WatchSyncResponse]:
        if request.run_id not in self.runs:
            raise RunNotFound
        async for message in self.runs[request.run_id].watch(request.after_sequence):
            yield sync_pb2.WatchSyncResponse(progress=message)
            if self.break_watches:
                self.break_watches -= 1
                return

    async def RunSync(
        self, _request: sync_pb2.RunSyncRequest, _context: Any
    ) -> AsyncIterator[sync_pb2.RunSyncResponse]:
        raise AssertionError("the gateway never calls RunSync")
        yield sync_pb2.RunSyncResponse()

    async def GetRun(self, request: sync_pb2.GetRunRequest, _context: Any) -> sync_pb2.GetRunResponse:
        if request.run_id not in self.runs:
            raise RunNotFound
        run = self.runs[request.run_id]
        return sync_pb2.GetRunResponse(
            run=run.row, ended_stores=run.ended if run.row.store_code or run.row.user_id else []
        )

    async def ListRuns(self, request: sync_pb2.ListRunsRequest, _context: Any) -> sync_pb2.ListRunsResponse:
        self.limits_asked.append(request.page_size)
        rows = [run.row for run in reversed(self.runs.values())]
        chosen = [row for row in rows if not (request.active_only and has_ended(row.state))]
        begin = int(request.page_token or 0)
        end = begin + request.page_size
        more = str(end) if end < len(chosen) else ""
        return sync_pb2.ListRunsResponse(runs=chosen[begin:end], next_page_token=more)

    async def CancelRun(self, request: sync_pb2.CancelRunRequest, _context: Any) -> sync_pb2.CancelRunResponse:
        if request.run_id not in self.runs:
            raise RunNotFound
        run = self.runs[request.run_id]
        if not has_ended(run.row.state):
            await run.finish(sync_pb2.RUN_STATE_CANCELLED)
        return sync_pb2.CancelRunResponse(run=run.row)

    async def GetSchedule(self, _request: sync_pb2.GetScheduleRequest, _context: Any) -> sync_pb2.GetScheduleResponse:
        self.schedules_told += 1
        return self.schedule

    async def GetBudget(self, _request: sync_pb2.GetBudgetRequest, _context: Any) -> sync_pb2.GetBudgetResponse:
        return sync_pb2.GetBudgetResponse()

    async def RunScheduledJob(
        self, _request: sync_pb2.RunScheduledJobRequest, _context: Any
    ) -> sync_pb2.RunScheduledJobResponse:
        raise AssertionError("the gateway never starts a scheduled job")

    async def ListSyncLogs(self, request: sync_pb2.ListSyncLogsRequest, _context: Any) -> sync_pb2.ListSyncLogsResponse:
        self.limits_asked.append(request.limit)
        if request.store_code:
            self.stores.find(request.store_code)
        chosen = [line for line in self.logs if not request.store_code or line.store_code == request.store_code]
        return sync_pb2.ListSyncLogsResponse(logs=chosen[: request.limit])
