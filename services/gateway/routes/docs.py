"""Swagger UI at its three addresses, from files of an installed package: nothing is loaded from elsewhere."""

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from services.gateway.routes.info import DOCS_PATHS, NAME, OPENAPI_PATH

ASSETS = "fastapi_swagger.resources"
SCRIPT, STYLE = "swagger-ui-bundle.js", "swagger-ui.css"
TYPES: Mapping[str, str] = MappingProxyType({SCRIPT: "text/javascript", STYLE: "text/css"})
BASE = DOCS_PATHS[0]
CACHED = {"Cache-Control": "public, max-age=3600"}
START = f"""
SwaggerUIBundle({{url: "{OPENAPI_PATH}", dom_id: "#docs", deepLinking: true, validatorUrl: null, filter: true}})
"""
PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{NAME}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{BASE}/{STYLE}">
</head>
<body>
<div id="docs"></div>
<script src="{BASE}/{SCRIPT}"></script>
<script>{START}</script>
</body>
</html>
"""
FINGERPRINT = base64.b64encode(hashlib.sha256(START.encode()).digest()).decode()
# Swagger UI writes style attributes and draws its icons from data: addresses; scripts are its file and our line alone.
POLICY = (
    f"default-src 'none'; script-src 'self' 'sha256-{FINGERPRINT}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class DocsRoutes:
    """Shows the document of the routes to people, who may try them out with their key."""

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        for path in DOCS_PATHS:
            router.add_api_route(path, self.page, include_in_schema=False)
        router.add_api_route(f"{BASE}/{SCRIPT}", self.script, include_in_schema=False)
        router.add_api_route(f"{BASE}/{STYLE}", self.style, include_in_schema=False)

    async def page(self) -> HTMLResponse:
        """Answer with the page."""
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})

    def script(self) -> Response:
        """Answer with Swagger UI itself."""
        return asset(SCRIPT)

    def style(self) -> Response:
        """Answer with how it looks."""
        return asset(STYLE)


def asset(name: str) -> Response:
    """Return a file of the package."""
    return Response((files(ASSETS) / name).read_bytes(), media_type=TYPES[name], headers=CACHED)
