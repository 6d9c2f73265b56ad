"""Runs: POST /admin/sync/run in its three forms, the runs there are, the schedules, and the sync logs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response
from tokhub.sync.v1 import sync_pb2

from libs.runs.following import has_ended
from services.gateway.backends import Backends
from services.gateway.bodies import Body, documented, json_body
from services.gateway.parameters import (
    DEFAULT_LIMIT,
    Active,
    Limit,
    PageToken,
    RunInPath,
    StoreInPath,
    StoreInQuery,
    accepts_events,
    last_event_id,
    prefers_async,
)
from services.gateway.results import Results
from services.gateway.routes.answers import many, one, page
from services.gateway.rules import RULES, STORE_CODE
from services.gateway.shapes.runs import JOBS, run, schedule, sync_log

NO_CONTENT = 204  # tells a browser's EventSource to stop asking


class Order(Body):
    """What to sync."""

    store_code: str | None = Field(None, pattern=STORE_CODE, description=RULES["store_code"])
    job: Literal["all", "user", "video", "refresh_tokens"] = Field("all", description=RULES["job"])


class SyncRoutes:
    """Starts runs and tells about them; a run goes on whoever listens."""

    def __init__(self, *, backends: Backends, results: Results) -> None:
        self._sync = backends.sync
        self._results = results

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        body = documented(Order, required=False)
        router.add_api_route(
            "/admin/sync/run", self.start, methods=["POST"], summary="Run a sync", tags=["sync"], openapi_extra=body
        )
        router.add_api_route(
            "/admin/sync/status", self.status, summary="What starts by itself, and when", tags=["sync"]
        )
        self._add_for_runs(router, "/admin/sync/runs")
        router.add_api_route("/admin/sync/logs", self.logs, summary="Sync logs", tags=["sync"])
        router.add_api_route(
            "/admin/stores/{store_code}/sync-logs", self.store_logs, summary="A store's sync logs", tags=["sync"]
        )

    def _add_for_runs(self, router: APIRouter, runs: str) -> None:
        router.add_api_route(runs, self.list_runs, summary="List runs, newest first", tags=["sync"])
        router.add_api_route(f"{runs}/{{run_id}}", self.get_run, summary="Get a run", tags=["sync"])
        router.add_api_route(f"{runs}/{{run_id}}/events", self.events, summary="Watch a run", tags=["sync"])
        router.add_api_route(
            f"{runs}/{{run_id}}/cancel", self.cancel, methods=["POST"], summary="Cancel a run", tags=["sync"]
        )

    async def start(self, request: Request, order: Annotated[Order, Depends(json_body(Order))]) -> Response:
        """Start a run; answer with what it came to, or at once, or with its progress as events."""
        started = (await self._sync.StartSync(start_request(order))).run
        headers = {"Location": f"/admin/sync/runs/{started.id}"}
        if accepts_events(request):
            return self._results.stream(request, started.id, headers=headers)
        if prefers_async(request):
            applied = {"Preference-Applied": "respond-async"}
            return JSONResponse({"success": True, "data": run(started)}, 202, {**headers, **applied})
        return await self._results.answer(request, started.id)

    async def status(self) -> JSONResponse:
        """Answer with the jobs that start by themselves."""
        return one(schedule(await self._sync.GetSchedule(sync_pb2.GetScheduleRequest())))

    async def list_runs(
        self, active: Active = "false", limit: Limit = DEFAULT_LIMIT, page_token: PageToken = ""
    ) -> JSONResponse:
        """Answer with a page of runs, newest first; nextPageToken asks for the next, and is null on the last."""
        request = sync_pb2.ListRunsRequest(page_size=limit, page_token=page_token, active_only=active == "true")
        answer = await self._sync.ListRuns(request)
        return page([run(each) for each in answer.runs], answer.next_page_token)

    async def cancel(self, run_id: RunInPath) -> JSONResponse:
        """End a run where it stands; one that had ended is answered as it ended."""
        return one(run((await self._sync.CancelRun(sync_pb2.CancelRunRequest(run_id=str(run_id)))).run))

    async def get_run(self, run_id: RunInPath) -> JSONResponse:
        """Answer with a run as it stands."""
        return one(run((await self._get(str(run_id))).run))

    async def events(self, request: Request, run_id: RunInPath) -> Response:
        """Answer with a run's progress as events, only those after Last-Event-ID; 204 when none can follow."""
        seen = last_event_id(request)
        found = (await self._get(str(run_id))).run
        if seen is None or seen > found.sequence:
            return self._results.stream(request, found.id)
        if has_ended(found.state) and seen == found.sequence:
            return Response(status_code=NO_CONTENT)
        return self._results.stream(request, found.id, seen)

    async def logs(self, store_code: StoreInQuery | None = None, limit: Limit = DEFAULT_LIMIT) -> JSONResponse:
        """Answer with the newest lines of the sync log."""
        request = sync_pb2.ListSyncLogsRequest(store_code=store_code or "", limit=limit)
        return many([sync_log(line) for line in (await self._sync.ListSyncLogs(request)).logs])

    async def store_logs(self, store_code: StoreInPath, limit: Limit = DEFAULT_LIMIT) -> JSONResponse:
        """Answer with the newest lines of one store."""
        return await self.logs(store_code, limit)

    async def _get(self, run_id: str) -> sync_pb2.GetRunResponse:
        return await self._sync.GetRun(sync_pb2.GetRunRequest(run_id=run_id))


def start_request(order: Order) -> sync_pb2.StartSyncRequest:
    """Return the order as the sync service takes it."""
    if order.store_code is None:
        return sync_pb2.StartSyncRequest(job=JOBS[order.job], all=sync_pb2.AllStores())
    return sync_pb2.StartSyncRequest(job=JOBS[order.job], store_code=order.store_code)
