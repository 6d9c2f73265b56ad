"""The keys that seal tokens, and sealing every row with the active one. No key and no token comes here."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response
from tokhub.token.v1 import vault_pb2

from libs.errors import TokhubError
from services.gateway.backends import Backends
from services.gateway.console.filters import lasting
from services.gateway.console.navigation import CONSOLE
from services.gateway.console.pages import ConsolePages, problem
from services.gateway.errors import STATUSES

VAULT = f"{CONSOLE}/vault"


class VaultPage:
    """Shows the ring; without scripts a rotation is answered when it has ended."""

    def __init__(self, *, backends: Backends, pages: ConsolePages) -> None:
        self._vault = backends.vault
        self._pages = pages

    def add_to(self, router: APIRouter) -> None:
        """Declare the page."""
        router.add_api_route(VAULT, self.show, include_in_schema=False)
        router.add_api_route(VAULT, self.rotate, methods=["POST"], include_in_schema=False)

    async def show(self, request: Request) -> Response:
        """Answer with the page."""
        return await self._page(request)

    async def rotate(self, request: Request) -> Response:
        """Seal every row with the active key, and say what came of it."""
        call = self._vault.RotateKeys(vault_pb2.RotateKeysRequest())
        try:
            *_, last = [step async for step in call]
        except TokhubError as error:
            return await self._page(request, STATUSES[error.reason], problem=problem(error))
        finally:
            call.cancel()
        return await self._page(request, notice=ended(last.summary))

    async def _page(self, request: Request, status: int = 200, **told: str) -> Response:
        ring = await self._vault.GetKeyRing(vault_pb2.GetKeyRingRequest())
        values: dict[str, Any] = {"problem": "", **told}
        elsewhere = sum(key.rows for key in ring.keys if not key.active)
        active = next((key.id for key in ring.keys if key.active), "")
        return self._pages.page(request, "vault.html", status, ring=ring, elsewhere=elsewhere, active=active, **values)


def ended(summary: vault_pb2.RotationSummary) -> str:
    """Return how a rotation ended, in words."""
    unreadable = f"; {summary.unreadable} rows do not open and stayed as they are" if summary.unreadable else ""
    sealed = f"{summary.rewritten} rows have been sealed with {summary.key_id}"
    return f"{sealed} in {lasting(summary.duration)}{unreadable}."
