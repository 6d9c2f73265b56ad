"""Tokens of shops refreshed by hand: what would be done first, then each shop as it ends."""

from contextlib import aclosing
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from libs.errors import TokhubError
from services.gateway.bodies import Body
from services.gateway.console.forms import fields_of, read_form
from services.gateway.console.navigation import CONSOLE
from services.gateway.console.pages import ConsolePages, problem
from services.gateway.errors import STATUSES
from services.gateway.refreshing import Refreshing, shops_order
from services.gateway.shapes.refreshes import refresh_report

REFRESH = f"{CONSOLE}/refresh"


class Choice(Body):
    """Which shops, whether those that are not due too, and whether to do it or only say what would be done."""

    how: Literal["look", "do"]
    which: Literal["due", "all"] = "due"
    team: str = Field("", pattern=r"^[0-9]{0,9}$")


class RefreshPage:
    """Refreshes the tokens of all shops; without scripts it answers when the last one has ended."""

    def __init__(self, *, refreshing: Refreshing, pages: ConsolePages) -> None:
        self._refreshing = refreshing
        self._pages = pages

    def add_to(self, router: APIRouter) -> None:
        """Declare the page."""
        router.add_api_route(REFRESH, self.show, include_in_schema=False)
        router.add_api_route(REFRESH, self.refresh, methods=["POST"], include_in_schema=False)

    async def show(self, request: Request) -> Response:
        """Answer with the page."""
        return self._page(request, Choice(how="look"))

    async def refresh(self, request: Request) -> Response:
        """Answer with how each shop came out, or would."""
        choice = read_form(Choice, await fields_of(request))
        order = shops_order(
            force=choice.which == "all",
            dry_run=choice.how == "look",
            team_id=int(choice.team) if choice.team else None,
        )
        try:
            async with aclosing(self._refreshing.results(order)) as shops:
                report = refresh_report([shop async for shop in shops])
        except TokhubError as error:
            return self._page(request, choice, STATUSES[error.reason], problem=problem(error))
        return self._page(request, choice, report=report)

    def _page(self, request: Request, choice: Choice, status: int = 200, **told: Any) -> Response:
        values = {"choice": choice, "problem": "", "report": None, **told}
        return self._pages.page(request, "refresh.html", status, **values)
