"""SyncService: runs, their progress, and the sync log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from libs.rpc.identity import Context
from services.sync.core.cancel_run import RunCanceller
from services.sync.core.show_budget import BudgetViewer
from services.sync.core.show_run import RunViewer
from services.sync.core.show_schedule import ScheduleDesk
from services.sync.core.start_run import RunStarter
from services.sync.core.stats import Stats
from services.sync.core.watch_run import RunWatch
from services.sync.domain.progress import Progress
from services.sync.servicers.page_tokens import run_position, run_token
from services.sync.servicers.translate import (
    budget_message,
    duration,
    ended_message,
    log_message,
    progress_message,
    run_message,
    scheduled_message,
    scope_of,
)


@dataclass(frozen=True, kw_only=True)
class Runs:
    """What can be done with runs."""

    starter: RunStarter
    watch: RunWatch
    viewer: RunViewer
    canceller: RunCanceller


class WatchMessages:
    """Messages for watchers; many are told of the same progress, one behind the other."""

    def __init__(self) -> None:
        self._newest: tuple[Progress, sync_pb2.WatchSyncResponse] | None = None

    def of(self, progress: Progress) -> sync_pb2.WatchSyncResponse:
        """Return the message, the same one again for the same value; it must not be changed."""
        if self._newest is None or self._newest[0] is not progress:
            self._newest = progress, sync_pb2.WatchSyncResponse(progress=progress_message(progress))
        return self._newest[1]


class SyncServicer(sync_pb2_grpc.SyncServiceServicer):
    """Translates and nothing else."""

    def __init__(self, *, runs: Runs, stats: Stats, schedule: ScheduleDesk, budget: BudgetViewer) -> None:
        self._runs = runs
        self._stats = stats
        self._schedule = schedule
        self._budget = budget
        self._watched = WatchMessages()

    async def StartSync(self, request: sync_pb2.StartSyncRequest, context: Context) -> sync_pb2.StartSyncResponse:
        """Start a run."""
        run = await self._runs.starter.start(scope_of(request), request.idempotency_key or None)
        return sync_pb2.StartSyncResponse(run=run_message(run))

    async def WatchSync(
        self, request: sync_pb2.WatchSyncRequest, context: Context
    ) -> AsyncIterator[sync_pb2.WatchSyncResponse]:
        """Stream the progress of a run."""
        async for progress in self._runs.watch.watch(request.run_id, request.after_sequence):
            yield self._watched.of(progress)

    async def RunSync(
        self, request: sync_pb2.RunSyncRequest, context: Context
    ) -> AsyncIterator[sync_pb2.RunSyncResponse]:
        """Start a run and stream its progress."""
        run = await self._runs.starter.start(scope_of(request), request.idempotency_key or None)
        async for progress in self._runs.watch.watch(run.id, 0):
            yield sync_pb2.RunSyncResponse(progress=progress_message(progress))

    async def GetRun(self, request: sync_pb2.GetRunRequest, context: Context) -> sync_pb2.GetRunResponse:
        """Return one run."""
        run, ended = await self._runs.viewer.show(request.run_id)
        return sync_pb2.GetRunResponse(run=run_message(run), ended_stores=[ended_message(one) for one in ended])

    async def ListRuns(self, request: sync_pb2.ListRunsRequest, context: Context) -> sync_pb2.ListRunsResponse:
        """Return a page of runs."""
        page = await self._runs.viewer.page(
            behind=run_position(request.page_token), size=request.page_size, active_only=request.active_only
        )
        token = run_token(page.behind) if page.behind else ""
        return sync_pb2.ListRunsResponse(runs=[run_message(run) for run in page.runs], next_page_token=token)

    async def CancelRun(self, request: sync_pb2.CancelRunRequest, context: Context) -> sync_pb2.CancelRunResponse:
        """End a run where it stands."""
        return sync_pb2.CancelRunResponse(run=run_message(await self._runs.canceller.cancel(request.run_id)))

    async def GetSchedule(self, request: sync_pb2.GetScheduleRequest, context: Context) -> sync_pb2.GetScheduleResponse:
        """Return the schedules."""
        timetable = self._schedule.timetable
        jobs = [scheduled_message(entry) for entry in await self._schedule.entries()]
        return sync_pb2.GetScheduleResponse(enabled=timetable.enabled, timezone=timetable.zone, jobs=jobs)

    async def RunScheduledJob(
        self, request: sync_pb2.RunScheduledJobRequest, context: Context
    ) -> sync_pb2.RunScheduledJobResponse:
        """Start a scheduled job now, or say what it would do."""
        if request.dry_run:
            preview = await self._schedule.preview(request.name)
            return sync_pb2.RunScheduledJobResponse(total=preview.total, skipped=preview.skipped)
        run = await self._schedule.run_now(request.name)
        return sync_pb2.RunScheduledJobResponse(run=run_message(run), total=run.total, skipped=run.skipped)

    async def GetBudget(self, request: sync_pb2.GetBudgetRequest, context: Context) -> sync_pb2.GetBudgetResponse:
        """Return how much of the rate limit is in use."""
        endpoints = [budget_message(each) for each in await self._budget.show()]
        return sync_pb2.GetBudgetResponse(window=duration(timedelta(seconds=self._budget.window)), endpoints=endpoints)

    async def ListSyncLogs(
        self, request: sync_pb2.ListSyncLogsRequest, context: Context
    ) -> sync_pb2.ListSyncLogsResponse:
        """Return the newest lines of the sync log."""
        lines = await self._stats.logs(store_code=request.store_code or None, limit=request.limit)
        return sync_pb2.ListSyncLogsResponse(logs=[log_message(line) for line in lines])
