"""Turns values into pages: escaped, under one policy, for whoever is signed in."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from libs.errors import LockedOut, RateLimited, TokhubError
from libs.rpc.request_id import current_request_id
from services.gateway.auth import AdminKey, Role
from services.gateway.console.assets import Assets
from services.gateway.console.filters import FILTERS
from services.gateway.console.forms import is_form
from services.gateway.console.navigation import CONSOLE, NAVIGATION, active
from services.gateway.errors import STATUSES, KeyRequired, retry_headers
from services.gateway.gates import OTHER_SITES
from services.gateway.sessions import SESSION

TEMPLATES = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types console"
)
# With no-referrer, which other answers have, browsers would keep from us which page a form was sent by.
HEADERS: Mapping[str, str] = MappingProxyType({"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"})
THEME = "tokhub_theme"
THEMES = frozenset({"light", "dark"})
MINUTE = 60


class ConsolePages:
    """Renders templates of the console."""

    def __init__(self) -> None:
        self.assets = Assets()
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(asset=self.assets.address, navigation=NAVIGATION)

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page of somebody who is signed in."""
        key: AdminKey = request.state.key
        shown = {"key": key, "may_change": key.role is Role.ADMIN, "here": active(request.url.path), "notice": ""}
        return self._render(request, template, status, {**shown, **values})

    def failed(self, request: Request, error: TokhubError) -> HTMLResponse:
        """Return the page for an error, or the one that asks for a key when that is what is missing."""
        if isinstance(error, KeyRequired):
            return self.sign_in(request, error)
        page = self._bare(request, "failed.html", STATUSES[error.reason], problem=problem(error))
        page.headers.update(retry_headers(error))
        return page

    def missing(self, request: Request) -> HTMLResponse:
        """Return the page for an address that is none."""
        return self._bare(request, "failed.html", 404, problem="There is no such page in the console.")

    def sign_in(self, request: Request, error: TokhubError | None = None) -> HTMLResponse:
        """Return the page that asks for a key, and goes on to the page that was asked for.

        Browsers leave a strict cookie out when a link of another site leads here, so such a visit is made once more
        from here before anybody is asked for a key.
        """
        if is_led_here(request):
            return self._render(request, "again.html", 200, {"to": destination(request)})
        status = STATUSES[error.reason] if error else 200
        told = "" if error is None or is_first_visit(request, error) else problem(error)
        page = self._render(request, "sign_in.html", status, {"problem": told, "to": destination(request)})
        page.headers.update(retry_headers(error) if error else {})
        return page

    def _bare(self, request: Request, template: str, status: int, **values: Any) -> HTMLResponse:
        """Return a page of somebody who may not be signed in."""
        if hasattr(request.state, "key"):
            return self.page(request, template, status, request_id=current_request_id(), **values)
        shown = {"key": None, "may_change": False, "here": "", "notice": "", "request_id": current_request_id()}
        return self._render(request, template, status, {**shown, **values})

    def _render(self, request: Request, template: str, status: int, values: Mapping[str, Any]) -> HTMLResponse:
        theme = request.cookies.get(THEME, "")
        html = self._environment.get_template(template).render(theme=theme if theme in THEMES else "", **values)
        return HTMLResponse(html, status, dict(HEADERS))


def for_people(request: Request) -> bool:
    """Return whether a person is looking at the console, and no program or module of a page."""
    path = request.scope["path"]
    if path != CONSOLE and not path.startswith(f"{CONSOLE}/"):
        return False
    return is_form(request) or "text/html" in request.headers.get("accept", "")


def is_led_here(request: Request) -> bool:
    """Return whether a page of another site leads somebody here, who may have signed in."""
    return request.method == "GET" and request.headers.get("sec-fetch-site") in OTHER_SITES and not SESSION.of(request)


def is_first_visit(request: Request, error: TokhubError) -> bool:
    """Return whether nothing was wrong: somebody only has not signed in yet."""
    return isinstance(error, KeyRequired) and request.method == "GET" and not SESSION.of(request)


def destination(request: Request) -> str:
    """Return the page of the console that was asked for."""
    if request.method != "GET" or not request.url.path.startswith(CONSOLE):
        return CONSOLE
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def problem(error: TokhubError) -> str:
    """Return what a person is told; the texts are our own, and repeat nothing that was sent."""
    if not isinstance(error, RateLimited | LockedOut):
        return error.message
    seconds = math.ceil(error.retry_after)
    wait = f"{seconds} s" if seconds < MINUTE else f"{math.ceil(seconds / MINUTE)} min"
    what = "wrong keys" if isinstance(error, LockedOut) else "requests"
    return f"Too many {what} came from your address. Try again in {wait}."
