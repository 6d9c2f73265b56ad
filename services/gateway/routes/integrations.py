"""Modules for other applications' pages: GET /integrations/tiktok.js."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway import integrations

MODULE = Path(integrations.__file__).with_name("tiktok.js")
SCRIPT = "text/javascript"
# Pages of the origins in CORS_ORIGIN load it, each with headers of its own.
HEADERS = {"Cache-Control": "public, max-age=3600", "Vary": "Origin"}


class IntegrationRoutes:
    """Hands out the modules, which hold nothing that is not public."""

    def __init__(self) -> None:
        self._module = MODULE.read_bytes()

    def add_to(self, router: APIRouter) -> None:
        """Declare the route."""
        router.add_api_route(
            "/integrations/tiktok.js",
            self.module,
            response_class=Response,
            summary="Module that keeps track of a creator's account",
            tags=["creators"],
        )

    async def module(self) -> Response:
        """Answer with an ES module: createTikTokIntegration."""
        return Response(self._module, media_type=SCRIPT, headers=HEADERS)
