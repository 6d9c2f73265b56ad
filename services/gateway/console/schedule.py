"""The jobs that start by themselves: when, and now."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response
from tokhub.sync.v1 import sync_pb2

from libs.errors import TokhubError
from services.gateway.backends import Backends
from services.gateway.bodies import Body
from services.gateway.console.forms import fields_of, read_form
from services.gateway.console.navigation import CONSOLE
from services.gateway.console.pages import ConsolePages, problem
from services.gateway.console.sync import SEE_OTHER, SYNC
from services.gateway.errors import STATUSES

SCHEDULE = f"{CONSOLE}/schedule"
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "refresh_tokens": "Refresh tokens",
        "sync_user_daily": "Sync accounts",
        "sync_video_daily": "Sync videos",
    }
)


class Now(Body):
    """A job that somebody wants at once, or to know what it would do."""

    name: str
    how: Literal["run", "dry_run"]


class SchedulePage:
    """Shows the schedule, runs its jobs at once, or says what they would do."""

    def __init__(self, *, backends: Backends, pages: ConsolePages) -> None:
        self._sync = backends.sync
        self._pages = pages

    def add_to(self, router: APIRouter) -> None:
        """Declare the page."""
        router.add_api_route(SCHEDULE, self.show, include_in_schema=False)
        router.add_api_route(SCHEDULE, self.run, methods=["POST"], include_in_schema=False)

    async def show(self, request: Request) -> Response:
        """Answer with the page."""
        return await self._page(request)

    async def run(self, request: Request) -> Response:
        """Run a job now and go to the page of its run, or say what it would do."""
        asked = read_form(Now, await fields_of(request))
        try:
            told = await self._sync.RunScheduledJob(
                sync_pb2.RunScheduledJobRequest(name=asked.name, dry_run=asked.how == "dry_run")
            )
        except TokhubError as error:
            running = error.metadata.get("run_id", "")
            return await self._page(request, STATUSES[error.reason], problem=problem(error), running=running)
        if told.HasField("run"):
            return RedirectResponse(f"{SYNC}/runs/{told.run.id}?done=started", SEE_OTHER)
        return await self._page(request, notice=would(asked.name, told))

    async def _page(self, request: Request, status: int = 200, **told: str) -> Response:
        schedule = await self._sync.GetSchedule(sync_pb2.GetScheduleRequest())
        values: dict[str, Any] = {"problem": "", "running": "", **told}
        return self._pages.page(request, "schedule.html", status, schedule=schedule, labels=LABELS, **values)


def would(name: str, told: sync_pb2.RunScheduledJobResponse) -> str:
    """Return what a job would do, in words."""
    label = LABELS.get(name, name)
    skipped = f"; {told.skipped} of them would be skipped, because they must be connected again" if told.skipped else ""
    return f"{label} would take {told.total} stores{skipped}. Nothing was done."
