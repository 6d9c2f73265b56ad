"""Signing in to the console and out again: /console and below."""

from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, RedirectResponse, Response

from libs.errors import InvalidField, TokhubError
from services.gateway.auth import AdminKey
from services.gateway.bodies import Body, json_body
from services.gateway.console.page import CONSOLE, STYLE, ConsolePage
from services.gateway.gates import AdminGate
from services.gateway.routes.answers import one
from services.gateway.sessions import SESSION, Sessions, refuse_other_sites

FORM = "application/x-www-form-urlencoded"
SEE_OTHER = 303
EVERYWHERE = "everywhere"
MOST_FIELDS = 4

log = structlog.get_logger()


class SignIn(Body):
    """What a session is begun with."""

    key: str = Field(max_length=1000)


class ConsoleRoutes:
    """Begins and ends sessions, for programs as JSON and for people as pages."""

    def __init__(self, *, gate: AdminGate, sessions: Sessions) -> None:
        self._gate = gate
        self._sessions = sessions
        self._page = ConsolePage()

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        router.add_api_route(CONSOLE, self.show, include_in_schema=False)
        router.add_api_route(STYLE, self.style, include_in_schema=False)
        session, sessions = f"{CONSOLE}/session", f"{CONSOLE}/sessions"
        router.add_api_route(session, self.sign_in, methods=["POST"], include_in_schema=False)
        router.add_api_route(session, self.sign_out, methods=["DELETE"], include_in_schema=False)
        router.add_api_route(sessions, self.sign_out_everywhere, methods=["DELETE"], include_in_schema=False)
        # Forms can neither DELETE nor be answered with 204.
        router.add_api_route(f"{CONSOLE}/sign-out", self.leave, methods=["POST"], include_in_schema=False)

    async def show(self, request: Request) -> Response:
        """Answer with the page, which asks for a key unless there is a session."""
        try:
            await self._gate.let_in(request)
            token = SESSION.of(request)
            key = await self._sessions.key_of(token) if token else None
        except TokhubError as error:
            return self._page.refused(error)
        return self._page.signed_in(key) if key else self._page.signed_out()

    async def style(self) -> Response:
        """Answer with how the page looks."""
        return self._page.style()

    async def sign_in(self, request: Request) -> Response:
        """Begin a session; a form is sent on to the console, a program is told whose session it is."""
        if not is_form(request):
            return await self._begin(request)
        try:
            return await self._begin(request)
        except TokhubError as error:
            return self._page.refused(error)

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
            return self._page.refused(error)

    async def _begin(self, request: Request) -> Response:
        await self._gate.let_in(request)
        refuse_other_sites(request)
        key = await self._gate.recognise(request, await presented_key(request))
        token = await self._sessions.begin(key)
        log.info("signed in to the console", key=key.name)
        answer: Response = RedirectResponse(CONSOLE, SEE_OTHER) if is_form(request) else session_of(key)
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


def is_form(request: Request) -> bool:
    """Return whether a page without scripts asks."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def presented_key(request: Request) -> str:
    """Return the key in a form, or in JSON."""
    if is_form(request):
        return await field(request, "key")
    return (await json_body(SignIn)(request)).key


async def field(request: Request, name: str) -> str:
    """Return a field of a form; raise InvalidField unless it is there once."""
    try:
        fields = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidField("form", "cannot be read") from None
    values = [value for key, value in fields if key == name]
    if len(values) != 1:
        raise InvalidField(name, "must be sent once")
    return values[0]
