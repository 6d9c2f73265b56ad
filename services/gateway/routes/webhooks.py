"""What TikTok sends of its own accord: handed on as it came, unread."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response
from tokhub.token.v1 import token_pb2

from services.gateway.backends import Backends

LOGIN_KIT = "/webhooks/tiktok"
SHOP = "/webhooks/tiktok-shop"
# TikTok gives up on an answer after 3 s, and sends the event again.
PATIENCE = 2.5  # seconds


class WebhookRoutes:
    """Hands webhooks on to the service that has the apps' secrets."""

    def __init__(self, *, backends: Backends) -> None:
        self._connections = backends.connections

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        for path, endpoint, header, summary in (
            (LOGIN_KIT, self.login_kit, "TikTok-Signature", "Webhook of TikTok for Developers"),
            (SHOP, self.shop, "Authorization", "Webhook of TikTok Shop"),
        ):
            router.add_api_route(
                path,
                endpoint,
                methods=["POST"],
                response_class=Response,
                openapi_extra=signed_with(header),
                summary=summary,
                tags=["webhooks"],
            )

    async def login_kit(self, request: Request) -> Response:
        """Take a webhook of TikTok for Developers."""
        return await self._hand_on(token_pb2.PROVIDER_LOGIN_KIT, request, "tiktok-signature")

    async def shop(self, request: Request) -> Response:
        """Take a webhook of TikTok Shop."""
        return await self._hand_on(token_pb2.PROVIDER_TIKTOK_SHOP, request, "authorization")

    async def _hand_on(self, provider: token_pb2.Provider.ValueType, request: Request, header: str) -> Response:
        signature = ",".join(request.headers.getlist(header))
        event = token_pb2.HandleProviderEventRequest(provider=provider, body=await request.body(), signature=signature)
        await self._connections.HandleProviderEvent(event, timeout=PATIENCE)
        return Response()


def signed_with(header: str) -> dict[str, Any]:
    """Return what OpenAPI says about a webhook's header and body."""
    parameter = {"name": header, "in": "header", "required": True, "schema": {"type": "string"}}
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"parameters": [parameter], "requestBody": body}
