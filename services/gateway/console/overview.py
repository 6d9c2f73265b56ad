"""The first page: how everything stands."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse
from tokhub.sync.v1 import sync_pb2

from services.gateway.backends import Backends
from services.gateway.console.navigation import CONSOLE
from services.gateway.console.pages import ConsolePages
from services.gateway.shapes.runs import counts, job_word, state_word

RUNS = 8


class OverviewPage:
    """Shows what somebody wants to know who has a minute."""

    def __init__(self, *, backends: Backends, pages: ConsolePages) -> None:
        self._backends = backends
        self._pages = pages

    def add_to(self, router: APIRouter) -> None:
        """Declare the page."""
        router.add_api_route(CONSOLE, self.show, include_in_schema=False)

    async def show(self, request: Request) -> HTMLResponse:
        """Answer with the page."""
        runs = await self._backends.sync.ListRuns(sync_pb2.ListRunsRequest(page_size=RUNS))
        return self._pages.page(request, "overview.html", runs=[run_row(run) for run in runs.runs])


def run_row(run: sync_pb2.Run) -> dict[str, object]:
    """Return a run as tables list it."""
    at = run.start_time if run.HasField("start_time") else run.create_time
    return {"id": run.id, "at": at, "job": job_word(run.job), "state": state_word(run.state), **counts(run)}
