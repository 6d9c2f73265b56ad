"""Accounts of creators: /api/v1/integrations/tiktok and below."""

from fastapi import APIRouter
from starlette.responses import JSONResponse
from tokhub.sync.v1 import account_pb2

from services.gateway.backends import Backends
from services.gateway.parameters import UserInPath
from services.gateway.shapes.creators import metrics


class CreatorRoutes:
    """Shows what is known of a user's TikTok account."""

    def __init__(self, *, backends: Backends) -> None:
        self._stats = backends.stats

    def add_to(self, router: APIRouter) -> None:
        """Declare the route."""
        router.add_api_route(
            "/api/v1/integrations/tiktok/metrics/{user_id}",
            self.metrics,
            summary="Figures of a creator's account",
            tags=["creators"],
        )

    async def metrics(self, user_id: UserInPath) -> JSONResponse:
        """Answer with the account's figures as TikTok last told them; all null before the first sync."""
        answer = await self._stats.GetAccountMetrics(account_pb2.GetAccountMetricsRequest(user_id=user_id))
        return JSONResponse(metrics(answer.metrics))
