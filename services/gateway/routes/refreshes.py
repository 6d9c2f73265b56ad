"""All shops' tokens refreshed by hand: POST /api/tiktok/refresh-all-tokens."""

from fastapi import APIRouter
from starlette.responses import JSONResponse
from tokhub.token.v1 import token_pb2

from services.gateway.backends import Backends
from services.gateway.parameters import DryRun, Force, TeamId
from services.gateway.shapes.refreshes import Result, refresh_report, shop_result


class RefreshRoutes:
    """Has the tokens of all shops refreshed; who leaves stops nothing."""

    def __init__(self, *, backends: Backends) -> None:
        self._connections = backends.connections
        self._tokens = backends.tokens

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
        self, force: Force = "false", dry_run: DryRun = "false", team_id: TeamId | None = None
    ) -> JSONResponse:
        """Answer with how each shop came out, once all have; some that failed are still 200."""
        order = token_pb2.RefreshAllRequest(
            provider=token_pb2.PROVIDER_TIKTOK_SHOP,
            team_id=team_id,
            force=force == "true",
            dry_run=dry_run == "true",
        )
        call = self._tokens.RefreshAll(order)
        try:
            ended = [news.ended async for news in call if news.HasField("ended")]
        finally:
            call.cancel()
        return JSONResponse(refresh_report([result for one in ended for result in await self._results(one)]))

    async def _results(self, ended: token_pb2.RefreshedConnection) -> list[Result]:
        if len(ended.shop_numbers) <= 1:
            return [shop_result(ended, next(iter(ended.shop_numbers), None), ended.name)]
        # Its name is that of all its shops.
        reference = token_pb2.ConnectionReference(connection_id=ended.connection_id)
        found = await self._connections.GetConnection(token_pb2.GetConnectionRequest(connection=reference))
        return [shop_result(ended, shop.number, shop.name) for shop in found.connection.shops]
