"""Accounts of creators: /api/v1/integrations/tiktok and below."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response
from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from services.gateway.creator_accounts import CreatorAccounts
from services.gateway.parameters import (
    CodeInQuery,
    RedirectInQuery,
    StateInQuery,
    UserInPath,
    UserInQuery,
    accepts_events,
)
from services.gateway.results import Results


class CreatorRoutes:
    """Connects a user's TikTok account, syncs it, and shows what is known of it."""

    def __init__(self, *, accounts: CreatorAccounts, sync: sync_pb2_grpc.SyncServiceStub, results: Results) -> None:
        self._accounts = accounts
        self._sync = sync
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
        return JSONResponse(await self._accounts.status(user_id))

    async def init(self, user_id: UserInQuery, redirect_uri: RedirectInQuery = "") -> JSONResponse:
        """Answer with an address for this user, and the state in it."""
        link = await self._accounts.link(user_id, redirect_uri)
        return JSONResponse({"authUrl": link.authorize_url, "state": link.state})

    async def callback(self, code: CodeInQuery, state: StateInQuery, user_id: UserInQuery) -> JSONResponse:
        """Answer like the status once the account is connected; the state must be this user's."""
        await self._accounts.complete(user_id, code, state)
        return JSONResponse(await self._accounts.status(user_id))

    async def disconnect(self, user_id: UserInPath) -> JSONResponse:
        """End the account's connection at once."""
        await self._accounts.disconnect(user_id)
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
        return JSONResponse(await self._accounts.metrics(user_id))
