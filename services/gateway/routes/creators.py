"""Accounts of creators: /api/v1/integrations/tiktok and below."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response
from tokhub.sync.v1 import account_pb2, sync_pb2
from tokhub.token.v1 import token_pb2

from libs.errors import ConnectionNotFound
from services.gateway.backends import Backends
from services.gateway.parameters import (
    CodeInQuery,
    RedirectInQuery,
    StateInQuery,
    UserInPath,
    UserInQuery,
    accepts_events,
)
from services.gateway.results import Results
from services.gateway.routes.owners import owner_connection, reference, user_of
from services.gateway.shapes.creators import account_status, metrics

PROVIDER = token_pb2.PROVIDER_LOGIN_KIT


class CreatorRoutes:
    """Connects a user's TikTok account, syncs it, and shows what is known of it."""

    def __init__(self, *, backends: Backends, results: Results) -> None:
        self._connections = backends.connections
        self._stats = backends.stats
        self._sync = backends.sync
        self._results = results

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        for method, path, endpoint, summary in (
            ("GET", "status/{user_id}", self.status, "Whether a creator's account is connected"),
            ("POST", "auth/init", self.init, "Address of TikTok's consent page for a creator"),
            ("POST", "auth/callback", self.callback, "Complete a creator's connection"),
            ("DELETE", "disconnect/{user_id}", self.disconnect, "Disconnect a creator's account"),
            ("POST", "sync/{user_id}", self.sync, "Sync a creator's account"),
            ("GET", "metrics/{user_id}", self.metrics, "Figures of a creator's account"),
        ):
            path_of_all = f"/api/v1/integrations/tiktok/{path}"
            router.add_api_route(path_of_all, endpoint, methods=[method], summary=summary, tags=["creators"])

    async def status(self, user_id: UserInPath) -> JSONResponse:
        """Answer whether the account is connected, and what is known of it; all else is null when it is not."""
        return JSONResponse(await self._status(user_id))

    async def init(self, user_id: UserInQuery, redirect_uri: RedirectInQuery = "") -> JSONResponse:
        """Answer with an address for this user, and the state in it."""
        request = token_pb2.StartAuthorizationRequest(
            provider=PROVIDER,
            owner=user_of(user_id),
            binding=token_pb2.LINK_BINDING_NONE,
            redirect_uri=redirect_uri,
        )
        link = await self._connections.StartAuthorization(request)
        return JSONResponse({"authUrl": link.authorize_url, "state": link.state})

    async def callback(self, code: CodeInQuery, state: StateInQuery, user_id: UserInQuery) -> JSONResponse:
        """Answer like the status once the account is connected; the state must be this user's."""
        request = token_pb2.CompleteAuthorizationRequest(
            state=state, code=code, expected=owner_connection(PROVIDER, user_id)
        )
        await self._connections.CompleteAuthorization(request)
        return JSONResponse(await self._status(user_id))

    async def disconnect(self, user_id: UserInPath) -> JSONResponse:
        """End the account's connection at once."""
        request = token_pb2.DisconnectRequest(connection=reference(PROVIDER, user_id))
        await self._connections.Disconnect(request)
        return JSONResponse({"message": "TikTok account disconnected successfully", "statusCode": 200})

    async def sync(self, request: Request, user_id: UserInPath) -> Response:
        """Sync the account; answer when that has ended with what it came to, or with its progress as events."""
        # A body says nothing here, but one that is too large must be refused before anything is begun.
        await request.body()
        order = sync_pb2.StartSyncRequest(job=sync_pb2.JOB_ALL, user_id=user_id)
        run_id = (await self._sync.StartSync(order)).run.id
        if accepts_events(request):
            return self._results.stream(request, run_id)
        return await self._results.answer(request, run_id)

    async def metrics(self, user_id: UserInPath) -> JSONResponse:
        """Answer with the account's figures as TikTok last told them; all null before the first sync."""
        answer = await self._stats.GetAccountMetrics(account_pb2.GetAccountMetricsRequest(user_id=user_id))
        return JSONResponse(metrics(answer.metrics))

    async def _status(self, user_id: str) -> dict[str, object]:
        try:
            found, read = await asyncio.gather(
                self._connections.GetConnection(
                    token_pb2.GetConnectionRequest(connection=reference(PROVIDER, user_id))
                ),
                self._stats.GetAccountMetrics(account_pb2.GetAccountMetricsRequest(user_id=user_id)),
            )
        except ConnectionNotFound:
            return account_status(token_pb2.Connection(), account_pb2.AccountMetrics())
        return account_status(found.connection, read.metrics)
