"""Accounts of creators: /api/v1/integrations/tiktok and below."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response
from tokhub.sync.v1 import account_pb2, sync_pb2

from services.gateway.backends import Backends
from services.gateway.parameters import UserInPath
from services.gateway.results import Results
from services.gateway.shapes.creators import metrics

ROUTES = "/api/v1/integrations/tiktok"


class CreatorRoutes:
    """Syncs a user's TikTok account and shows what is known of it."""

    def __init__(self, *, backends: Backends, results: Results) -> None:
        self._stats = backends.stats
        self._sync = backends.sync
        self._results = results

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        router.add_api_route(
            f"{ROUTES}/metrics/{{user_id}}", self.metrics, summary="Figures of a creator's account", tags=["creators"]
        )
        router.add_api_route(
            f"{ROUTES}/sync/{{user_id}}",
            self.sync,
            methods=["POST"],
            summary="Sync a creator's account and videos",
            tags=["creators"],
        )

    async def metrics(self, user_id: UserInPath) -> JSONResponse:
        """Answer with the account's figures as TikTok last told them; all null before the first sync."""
        answer = await self._stats.GetAccountMetrics(account_pb2.GetAccountMetricsRequest(user_id=user_id))
        return JSONResponse(metrics(answer.metrics))

    async def sync(self, request: Request, user_id: UserInPath) -> Response:
        """Sync the account, and answer with what it came to."""
        order = sync_pb2.StartSyncRequest(job=sync_pb2.JOB_ALL, user_id=user_id)
        return await self._results.answer(request, (await self._sync.StartSync(order)).run.id)
