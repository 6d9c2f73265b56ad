"""The pages for people: no script, no frame, and forms that lead where they should only."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

TEMPLATES = Path(__file__).parent / "templates"
CLOSED = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"


class Pages:
    """Renders the templates."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def stylesheet(self) -> Response:
        """Return the look of the pages."""
        return FileResponse(TEMPLATES / "consent.css", media_type="text/css")

    def page(self, name: str, values: dict[str, Any], *, form_target: str = "", status: int = 200) -> Response:
        """Return a page; its form may end at `form_target` too."""
        html = self._templates.get_template(name).render(values)
        target = urlsplit(form_target)
        # Browsers hold the redirect after the form to form-action too.
        sources = f"'self' {target.scheme}://{target.netloc}" if form_target else "'none'"
        headers = {
            "Content-Security-Policy": f"{CLOSED}; form-action {sources}",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(html, status, headers)


def wants_json(request: Request) -> bool:
    """Say whether a plain client asks, rather than a browser."""
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


def number_in(params: QueryParams, name: str, default: int) -> int:
    """Return a whole number of the query, the default if it is none."""
    text = params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else default
