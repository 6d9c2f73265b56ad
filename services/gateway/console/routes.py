"""Signing in to the console and out again, and what its pages load."""

import re

import structlog
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, RedirectResponse, Response

from libs.errors import TokhubError
from services.gateway.auth import AdminKey
from services.gateway.bodies import Body, json_body
from services.gateway.console.assets import STATIC
from services.gateway.console.forms import field, fields_of, is_form
from services.gateway.console.navigation import CONSOLE
from services.gateway.console.pages import ConsolePages
from services.gateway.gates import AdminGate
from services.gateway.routes.answers import one
from services.gateway.sessions import SESSION, Sessions, refuse_other_sites

SESSION_PATH = f"{CONSOLE}/session"
SEE_OTHER = 303
EVERYWHERE = "everywhere"
PAGE = re.compile(rf"{CONSOLE}(/[\w-]+)*(\?[\w=&%.+-]*)?", re.ASCII)

log = structlog.get_logger()


class SignIn(Body):
    """What a session is begun with."""

    key: str = Field(max_length=1000)


class ConsoleRoutes:
    """Begins and ends sessions, for programs as JSON and for people as pages."""

    def __init__(self, *, gate: AdminGate, sessions: Sessions, pages: ConsolePages) -> None:
        self._gate = gate
        self._sessions = sessions
        self._pages = pages

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        router.add_api_route(f"{STATIC}/{{fingerprint}}/{{name}}", self.asset, include_in_schema=False)
        router.add_api_route(SESSION_PATH, self.sign_in, methods=["POST"], include_in_schema=False)
        router.add_api_route(SESSION_PATH, self.sign_out, methods=["DELETE"], include_in_schema=False)
        sessions = f"{CONSOLE}/sessions"
        router.add_api_route(sessions, self.sign_out_everywhere, methods=["DELETE"], include_in_schema=False)
        # Forms can neither DELETE nor be answered with 204.
        router.add_api_route(f"{CONSOLE}/sign-out", self.leave, methods=["POST"], include_in_schema=False)

    def add_behind_gate(self, router: APIRouter) -> None:
        """Declare what only those reach who have signed in."""
        router.add_api_route(SESSION_PATH, self.whose, include_in_schema=False)

    async def asset(self, request: Request, fingerprint: str, name: str) -> Response:
        """Answer with what a page loads."""
        return self._pages.assets.answer(request, fingerprint, name)

    async def whose(self, request: Request) -> Response:
        """Answer whose session the request has."""
        return session_of(request.state.key)

    async def sign_in(self, request: Request) -> Response:
        """Begin a session; a form is sent on to the console, a program is told whose session it is."""
        if not is_form(request):
            return await self._begin(request)
        try:
            return await self._begin(request)
        except TokhubError as error:
            return self._pages.sign_in(request, error)

    async def sign_out(self, request: Request) -> Response:
        """End this session; answer 204, also when there is none."""
        await self._gate.let_in(request)
        return await self._end_here(request, Response(status_code=204))

    async def sign_out_everywhere(self, request: Request) -> Response:
        """End every session of the key that the request, or its session, has; answer 204."""
        await self._gate.let_in(request)
        return await self._end_everywhere(request, Response(status_code=204))

    async def leave(self, request: Request) -> Response:
        """Sign out as a form asks, and go back to the console."""
        back = RedirectResponse(CONSOLE, SEE_OTHER)
        try:
            await self._gate.let_in(request)
            if await field(request, "where") == EVERYWHERE:
                return await self._end_everywhere(request, back)
            return await self._end_here(request, back)
        except TokhubError as error:
            return self._pages.sign_in(request, error)

    async def _begin(self, request: Request) -> Response:
        await self._gate.let_in(request)
        refuse_other_sites(request)
        key = await self._gate.recognise(request, await presented_key(request))
        token = await self._sessions.begin(key)
        log.info("signed in to the console", key=key.name)
        answer: Response = (
            RedirectResponse(await page_after(request), SEE_OTHER) if is_form(request) else session_of(key)
        )
        SESSION.give(request, answer, token)
        return answer

    async def _end_here(self, request: Request, answer: Response) -> Response:
        refuse_other_sites(request)
        if token := SESSION.of(request):
            await self._sessions.end(token)
        SESSION.take_back(request, answer)
        return answer

    async def _end_everywhere(self, request: Request, answer: Response) -> Response:
        key = await self._gate.identify(request)
        await self._sessions.end_all(key)
        log.info("signed out of the console everywhere", key=key.name)
        SESSION.take_back(request, answer)
        return answer


def session_of(key: AdminKey) -> JSONResponse:
    """Return whose session it is."""
    return one({"name": key.name, "role": key.role})


async def presented_key(request: Request) -> str:
    """Return the key in a form, or in JSON."""
    if is_form(request):
        return await field(request, "key")
    return (await json_body(SignIn)(request)).key


async def page_after(request: Request) -> str:
    """Return the page that somebody wanted when they were asked for a key; never one of elsewhere."""
    wanted = (await fields_of(request)).get("to", "")
    return wanted if PAGE.fullmatch(wanted) else CONSOLE
