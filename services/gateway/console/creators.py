"""A creator's account: how it stands, its figures, connecting, syncing and disconnecting it."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import RedirectResponse, Response
from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from libs.errors import InvalidField, TokhubError
from services.gateway.bodies import Body
from services.gateway.console.forms import fields_of, read_form
from services.gateway.console.navigation import CONSOLE
from services.gateway.console.pages import ConsolePages, problem
from services.gateway.console.sync import SEE_OTHER, SYNC
from services.gateway.creator_accounts import CreatorAccounts
from services.gateway.errors import STATUSES
from services.gateway.rules import RULES, USER_ID

CREATORS = f"{CONSOLE}/creators"


class Act(Body):
    """What somebody wants done with a creator's account."""

    user_id: str = Field(pattern=USER_ID)
    act: Literal["connect", "sync", "disconnect"]


class CreatorPage:
    """Shows one creator's account; its module does the same as the forms, without leaving the page."""

    def __init__(self, *, accounts: CreatorAccounts, sync: sync_pb2_grpc.SyncServiceStub, pages: ConsolePages) -> None:
        self._accounts = accounts
        self._sync = sync
        self._pages = pages

    def add_to(self, router: APIRouter) -> None:
        """Declare the page."""
        router.add_api_route(CREATORS, self.show, include_in_schema=False)
        router.add_api_route(CREATORS, self.act, methods=["POST"], include_in_schema=False)

    async def show(self, request: Request, user_id: Annotated[str, Query(max_length=1000)] = "") -> Response:
        """Answer with the page, and with the account when one is asked for."""
        wanted = user_id.strip()
        if wanted and not re.fullmatch(USER_ID, wanted):
            refused = InvalidField("user_id", RULES["user_id"])
            return await self._page(request, "", STATUSES[refused.reason], entered=wanted, problem=problem(refused))
        return await self._page(request, wanted)

    async def act(self, request: Request) -> Response:
        """Do what a form asks for, and show what came of it."""
        asked = read_form(Act, await fields_of(request))
        try:
            if asked.act == "connect":
                link = await self._accounts.link(asked.user_id)
                return await self._page(request, asked.user_id, link=link.authorize_url)
            if asked.act == "disconnect":
                await self._accounts.disconnect(asked.user_id)
                return await self._page(request, asked.user_id, notice="The account has been disconnected.")
            return await self._synced(asked.user_id)
        except TokhubError as error:
            return await self._page(request, asked.user_id, STATUSES[error.reason], problem=problem(error))

    async def _synced(self, user_id: str) -> Response:
        order = sync_pb2.StartSyncRequest(job=sync_pb2.JOB_ALL, user_id=user_id)
        started = await self._sync.StartSync(order)
        return RedirectResponse(f"{SYNC}/runs/{started.run.id}?done=started", SEE_OTHER)

    async def _page(self, request: Request, user_id: str, status: int = 200, **told: str) -> Response:
        account = await self._accounts.status(user_id) if user_id else None
        figures = await self._accounts.metrics(user_id) if account and account["isConnected"] else None
        values: dict[str, Any] = {"entered": user_id, "problem": "", "link": "", **told}
        return self._pages.page(
            request, "creators.html", status, user_id=user_id, account=account, metrics=figures, **values
        )
