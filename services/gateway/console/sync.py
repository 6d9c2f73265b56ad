"""Runs: those at work, those that were, starting one, and the page of each."""

import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import RedirectResponse, Response
from tokhub.sync.v1 import sync_pb2

from libs.errors import InvalidField, TokhubError
from libs.runs.following import has_ended
from services.gateway.backends import Backends
from services.gateway.bodies import Body
from services.gateway.console.forms import fields_of, read_form
from services.gateway.console.navigation import CONSOLE
from services.gateway.console.pages import ConsolePages, problem
from services.gateway.console.runs import failures, run_view
from services.gateway.errors import STATUSES
from services.gateway.parameters import PageToken, RunInPath
from services.gateway.rules import RULES, STORE_CODE
from services.gateway.shapes.runs import JOBS

SYNC = f"{CONSOLE}/sync"
RUNS = 20
MOST_FAILURES = 500  # named in the page of a run
SEPARATORS = re.compile(r"[\s,;]+")
SEE_OTHER = 303
NOTICES: Mapping[str | None, str] = MappingProxyType(
    {"started": "The run has been started.", "cancelled": "The run has been cancelled where it stood."}
)
# An idempotency key: a form that is sent twice starts one run.
ONCE = r"^[\w-]{1,64}$"


class Order(Body):
    """What to sync, as the form says it."""

    job: Literal["all", "user", "video", "refresh_tokens"] = "all"
    stores: str = Field("", max_length=50_000)
    once: str = Field(pattern=ONCE)


class SyncPages:
    """Shows runs and starts them; a run goes on whoever looks."""

    def __init__(self, *, backends: Backends, pages: ConsolePages) -> None:
        self._sync = backends.sync
        self._watches = backends.watches
        self._pages = pages

    def add_to(self, router: APIRouter) -> None:
        """Declare the pages."""
        run = f"{SYNC}/runs/{{run_id}}"
        router.add_api_route(SYNC, self.show, include_in_schema=False)
        router.add_api_route(SYNC, self.start, methods=["POST"], include_in_schema=False)
        router.add_api_route(run, self.show_run, include_in_schema=False)
        router.add_api_route(f"{run}/cancel", self.cancel, methods=["POST"], include_in_schema=False)

    async def show(self, request: Request, page_token: PageToken = "") -> Response:
        """Answer with the runs and a form for the next."""
        return await self._list(request, page_token=page_token)

    async def start(self, request: Request) -> Response:
        """Start a run and go to its page, or say why it cannot be."""
        fields = await fields_of(request)
        try:
            started = await self._sync.StartSync(start_request(read_form(Order, fields)))
        except TokhubError as error:
            return await self._list(request, error, entered=fields)
        return RedirectResponse(f"{SYNC}/runs/{started.run.id}?done=started", SEE_OTHER)

    async def show_run(self, request: Request, run_id: RunInPath, done: str = "") -> Response:
        """Answer with the page of a run."""
        found = (await self._sync.GetRun(sync_pb2.GetRunRequest(run_id=str(run_id)))).run
        failed = await self._failed(found.id)
        return self._pages.page(
            request,
            "run.html",
            run=run_view(found),
            failures=failed,
            unlisted=found.failed - MOST_FAILURES if len(failed) == MOST_FAILURES else 0,
            notice=NOTICES.get(done, ""),
        )

    async def cancel(self, run_id: RunInPath) -> Response:
        """End a run where it stands, and go to its page."""
        await self._sync.CancelRun(sync_pb2.CancelRunRequest(run_id=str(run_id)))
        return RedirectResponse(f"{SYNC}/runs/{run_id}?done=cancelled", SEE_OTHER)

    async def _failed(self, run_id: str) -> list[dict[str, str]]:
        failed: list[dict[str, str]] = []
        call = self._watches.WatchSync(sync_pb2.WatchSyncRequest(run_id=run_id))
        try:
            async for answer in call:
                failed += failures(answer.progress.ended_stores)
                # The first message is how an active run stands; what comes later the page's module is told.
                if len(failed) >= MOST_FAILURES or not has_ended(answer.progress.state):
                    break
        finally:
            call.cancel()
        return failed[:MOST_FAILURES]

    async def _list(
        self,
        request: Request,
        error: TokhubError | None = None,
        *,
        page_token: str = "",
        entered: Mapping[str, str] = MappingProxyType({}),
    ) -> Response:
        page = await self._sync.ListRuns(sync_pb2.ListRunsRequest(page_size=RUNS, page_token=page_token))
        active = await self._sync.ListRuns(sync_pb2.ListRunsRequest(page_size=RUNS, active_only=True))
        values: dict[str, Any] = {
            "runs": [run_view(run) for run in page.runs],
            "active": [run_view(run) for run in active.runs],
            "next": page.next_page_token,
            "is_first": not page_token,
            "entered": {"job": "all", "stores": "", **entered},
            "once": secrets.token_urlsafe(16),
            "problem": problem(error) if error else "",
            "running": error.metadata.get("run_id", "") if error else "",
        }
        return self._pages.page(request, "sync.html", STATUSES[error.reason] if error else 200, **values)


def start_request(order: Order) -> sync_pb2.StartSyncRequest:
    """Return the order as the sync service takes it; raise InvalidField for a code that cannot be one."""
    codes = [code for code in SEPARATORS.split(order.stores) if code]
    if not all(re.fullmatch(STORE_CODE, code) for code in codes):
        raise InvalidField("each store code", RULES["store_code"])
    request = sync_pb2.StartSyncRequest(job=JOBS[order.job], idempotency_key=order.once)
    if not codes:
        request.all.SetInParent()
    elif len(codes) == 1:
        request.store_code = codes[0]
    else:
        request.stores.store_codes.extend(dict.fromkeys(codes))
    return request
