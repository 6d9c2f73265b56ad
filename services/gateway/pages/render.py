"""Turns an outcome into a page that runs nothing and loads nothing."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse
from tokhub.token.v1 import token_pb2

from libs.errors import RateLimited, TokhubError
from libs.rpc.request_id import current_request_id
from services.gateway.errors import STATUSES, retry_headers
from services.gateway.pages.texts import text_for

HERE = Path(__file__).parent
OWNER_KINDS = {token_pb2.OWNER_KIND_STORE: "store", token_pb2.OWNER_KIND_USER: "user"}


class Pages:
    """The result page in its two forms; the style is allowed by its hash."""

    def __init__(self) -> None:
        environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
        self._template = environment.get_template("result.html")
        self._style = (HERE / "result.css").read_text(encoding="utf-8")
        fingerprint = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{fingerprint}'; frame-ancestors 'none'; "
            "base-uri 'none'; form-action 'none'"
        )

    def connected(self, owner: token_pb2.Owner) -> HTMLResponse:
        """Return the page that says whose account is connected now."""
        kind = OWNER_KINDS.get(owner.kind, "owner")
        return self._page(200, connected=True, title="TikTok Connection Successful", owner_kind=kind, owner_id=owner.id)

    def failed(self, error: TokhubError) -> HTMLResponse:
        """Return the page for an error, in the fixed words of its reason."""
        text = text_for(error)
        headers = retry_headers(error)
        page = self._page(
            STATUSES[error.reason],
            connected=False,
            title="Connection Failed",
            problem=text.problem,
            advice=text.advice,
            again_in=headers["Retry-After"] if isinstance(error, RateLimited) else "",
            request_id=current_request_id(),
        )
        page.headers.update(headers)
        return page

    def _page(self, status: int, **values: Any) -> HTMLResponse:
        html = self._template.render(style=self._style, **values)
        return HTMLResponse(html, status, {"Content-Security-Policy": self._policy})
