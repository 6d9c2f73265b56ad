"""The first page: how everything stands."""

import asyncio
from datetime import timedelta

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse
from tokhub.sync.v1 import report_pb2, sync_pb2
from tokhub.token.v1 import token_pb2

from libs.clock import Clock
from services.gateway.backends import Backends
from services.gateway.console.charts import of_spans
from services.gateway.console.days import period, today
from services.gateway.console.navigation import CONSOLE
from services.gateway.console.pages import ConsolePages
from services.gateway.console.runs import run_view
from services.gateway.console.sections import section

RUNS = 8


class OverviewPage:
    """Shows what somebody wants to know who has a minute."""

    def __init__(self, *, backends: Backends, pages: ConsolePages, clock: Clock) -> None:
        self._backends = backends
        self._pages = pages
        self._clock = clock

    def add_to(self, router: APIRouter) -> None:
        """Declare the page."""
        router.add_api_route(CONSOLE, self.show, include_in_schema=False)

    async def show(self, request: Request) -> HTMLResponse:
        """Answer with the page."""
        stores, yesterday, forecast, budget, runs = await asyncio.gather(
            section(self._backends.stores.CountStores(sync_pb2.CountStoresRequest())),
            section(self._yesterday()),
            section(self._backends.connections.GetRefreshForecast(token_pb2.GetRefreshForecastRequest())),
            section(self._backends.sync.GetBudget(sync_pb2.GetBudgetRequest())),
            section(self._backends.sync.ListRuns(sync_pb2.ListRunsRequest(page_size=RUNS))),
        )
        return self._pages.page(
            request,
            "overview.html",
            stores=stores,
            status_word=status_word,
            yesterday=yesterday,
            forecast=forecast,
            of_spans=of_spans,
            budget=budget,
            runs=runs,
            run_view=run_view,
        )

    async def _yesterday(self) -> list[report_pb2.Completeness]:
        """Return how complete the day before this one is, in the suite's zone."""
        yesterday = await today(self._backends, self._clock) - timedelta(days=1)
        request = report_pb2.ListCompletenessRequest(period=period(yesterday, 1))
        return list((await self._backends.reports.ListCompleteness(request)).days)


def status_word(status: sync_pb2.StoreStatus.ValueType) -> str:
    """Return a status without its prefix."""
    return sync_pb2.StoreStatus.Name(status).removeprefix("STORE_STATUS_")
