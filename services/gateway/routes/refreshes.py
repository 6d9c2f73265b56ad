"""All shops' tokens refreshed by hand: POST /api/tiktok/refresh-all-tokens."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response
from tokhub.token.v1 import token_pb2

from services.gateway.backends import Backends
from services.gateway.event_stream import Events, EventStream, event
from services.gateway.parameters import DryRun, Force, TeamId, accepts_events
from services.gateway.shapes.refreshes import Result, refresh_report, shop_result

Ended = AsyncGenerator[token_pb2.RefreshedConnection, None]


class RefreshRoutes:
    """Has the tokens of all shops refreshed; who leaves stops nothing."""

    def __init__(self, *, backends: Backends, stopping: asyncio.Event) -> None:
        self._connections = backends.connections
        self._tokens = backends.tokens
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
        order = token_pb2.RefreshAllRequest(
            provider=token_pb2.PROVIDER_TIKTOK_SHOP,
            team_id=team_id,
            force=force == "true",
            dry_run=dry_run == "true",
        )
        if accepts_events(request):
            return EventStream(self._events(self._ended(order)), request=request, stopping=self._stopping)
        async with aclosing(self._ended(order)) as connections:
            results = [result async for ended in connections for result in await self._results(ended)]
        return JSONResponse(refresh_report(results))

    async def _ended(self, order: token_pb2.RefreshAllRequest) -> Ended:
        call = self._tokens.RefreshAll(order)
        try:
            async for news in call:
                if news.HasField("ended"):
                    yield news.ended
        finally:
            call.cancel()

    async def _events(self, connections: Ended) -> Events:
        results: list[Result] = []
        async with aclosing(connections):
            async for ended in connections:
                for result in await self._results(ended):
                    results.append(result)
                    yield event("shop", {**result, "hoursLeft": ended.hours_left})
        yield event("summary", refresh_report(results)["summary"])

    async def _results(self, ended: token_pb2.RefreshedConnection) -> list[Result]:
        if len(ended.shop_numbers) <= 1:
            return [shop_result(ended, next(iter(ended.shop_numbers), None), ended.name)]
        # Its name is that of all its shops.
        reference = token_pb2.ConnectionReference(connection_id=ended.connection_id)
        found = await self._connections.GetConnection(token_pb2.GetConnectionRequest(connection=reference))
        return [shop_result(ended, shop.number, shop.name) for shop in found.connection.shops]
