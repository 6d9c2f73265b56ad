"""All shops' tokens refreshed by hand: POST /api/tiktok/refresh-all-tokens."""

import asyncio
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from services.gateway.event_stream import Events, EventStream, event
from services.gateway.parameters import DryRun, Force, TeamId, accepts_events
from services.gateway.refreshing import Refreshing, Results, shops_order
from services.gateway.shapes.refreshes import Result, refresh_report


class RefreshRoutes:
    """Has the tokens of all shops refreshed; who leaves stops nothing."""

    def __init__(self, *, refreshing: Refreshing, stopping: asyncio.Event) -> None:
        self._refreshing = refreshing
        self._stopping = stopping

    def add_to(self, router: APIRouter) -> None:
        """Declare the route."""
        router.add_api_route(
            "/api/tiktok/refresh-all-tokens",
            self.refresh_all,
            methods=["POST"],
            summary="Refresh the tokens of all shops",
            tags=["shops"],
        )

    async def refresh_all(
        self, request: Request, force: Force = "false", dry_run: DryRun = "false", team_id: TeamId | None = None
    ) -> Response:
        """Answer with how each shop came out, once all have, or as events; some that failed are still 200."""
        order = shops_order(force=force == "true", dry_run=dry_run == "true", team_id=team_id)
        shops = self._refreshing.results(order)
        if accepts_events(request):
            return EventStream(shop_events(shops), request=request, stopping=self._stopping)
        async with aclosing(shops):
            results = [without_hours(shop) async for shop in shops]
        return JSONResponse(refresh_report(results))


async def shop_events(shops: Results) -> Events:
    """Yield each shop as it ends, and then how all did."""
    results: list[Result] = []
    async with aclosing(shops):
        async for shop in shops:
            results.append(shop)
            yield event("shop", shop)
    yield event("summary", refresh_report(results)["summary"])


def without_hours(shop: Result) -> Result:
    """Return a shop's result as older clients know it."""
    return {name: value for name, value in shop.items() if name != "hoursLeft"}
