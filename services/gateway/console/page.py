"""The console's page, before and after signing in: it runs no script and loads nothing but its style."""

import hashlib
import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from libs.errors import LockedOut, RateLimited, TokhubError
from services.gateway.auth import AdminKey
from services.gateway.errors import STATUSES, retry_headers

HERE = Path(__file__).parent
CONSOLE = "/console"
STYLE = f"{CONSOLE}/console.css"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# With no-referrer, which other answers have, browsers would keep from us which page a form was sent by.
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
CACHED = {"Cache-Control": "public, max-age=31536000, immutable"}
MINUTE = 60


class ConsolePage:
    """The page in its two forms."""

    def __init__(self) -> None:
        environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
        self._template = environment.get_template("console.html")
        self._style = (HERE / "console.css").read_bytes()
        fingerprint = hashlib.sha256(self._style).hexdigest()[:16]
        # A new style has a new address, so that it may be kept for ever.
        self._style_address = f"{STYLE}?v={fingerprint}"

    def signed_in(self, key: AdminKey) -> HTMLResponse:
        """Return the page of somebody who has signed in."""
        return self._page(200, key=key, problem="")

    def signed_out(self) -> HTMLResponse:
        """Return the page that asks for a key."""
        return self._page(200, key=None, problem="")

    def refused(self, error: TokhubError) -> HTMLResponse:
        """Return the page that asks for a key and says what went wrong."""
        page = self._page(STATUSES[error.reason], key=None, problem=problem(error))
        page.headers.update(retry_headers(error))
        return page

    def style(self) -> Response:
        """Return how the page looks."""
        return Response(self._style, media_type="text/css", headers=CACHED)

    def _page(self, status: int, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._template.render(style=self._style_address, **values), status, HEADERS)


def problem(error: TokhubError) -> str:
    """Return what a person is told; the texts are our own, and repeat nothing that was sent."""
    if not isinstance(error, RateLimited | LockedOut):
        return error.message
    seconds = math.ceil(error.retry_after)
    wait = f"{seconds} s" if seconds < MINUTE else f"{math.ceil(seconds / MINUTE)} min"
    what = "wrong keys" if isinstance(error, LockedOut) else "requests"
    return f"Too many {what} came from your address. Try again in {wait}."
