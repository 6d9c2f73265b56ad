"""A user's own TikTok Shop: /api/v1/tiktok and below."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import JSONResponse, Response
from tokhub.token.v1 import token_pb2

from libs.errors import ConnectionNotFound, StateExpired, StateInvalid, StateReused
from services.gateway.backends import Backends
from services.gateway.bodies import Body, documented, json_body
from services.gateway.errors import error_response
from services.gateway.gates import signed_in
from services.gateway.owners import owner_connection, reference, user_of
from services.gateway.rules import CODE, RULES, SHOP_ID
from services.gateway.shapes.shops import shop, shop_status

PROVIDER = token_pb2.PROVIDER_TIKTOK_SHOP
# Older clients expect another status for these than other routes have.
WRONG_STATES = (StateInvalid, StateExpired, StateReused)
UNAUTHORIZED = 401

User = Annotated[str, Depends(signed_in)]


class Initiation(Body):
    """What some clients send along; the state that counts is the one in the answer."""

    state: str | None = Field(None, max_length=2048, description="ignored", examples=["optional-custom-state"])
    scope: str | None = Field(None, max_length=2048, description="ignored", examples=["optional-scopes"])


class Callback(Body):
    """What TikTok appended to the redirect."""

    code: str = Field(pattern=CODE, description=RULES["code"], examples=["authorization-code-from-tiktok"])
    state: str = Field(min_length=1, max_length=2048, description=RULES["state"], examples=["state-parameter"])
    shop_id: str | None = Field(None, pattern=SHOP_ID, description=RULES["shop_id"], examples=["7494000000000000001"])
    shop_region: str | None = Field(None, max_length=64, description="ignored", examples=["US"])


class ShopRoutes:
    """Connects a user's shop, shows it, and lets it go."""

    def __init__(self, *, backends: Backends) -> None:
        self._connections = backends.connections
        self._tokens = backends.tokens

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        base = "/api/v1/tiktok"
        router.add_api_route(
            f"{base}/auth/initiate",
            self.initiate,
            methods=["POST"],
            summary="Address of TikTok's consent page for a shop",
            tags=["shops"],
            openapi_extra=documented(Initiation, required=False),
        )
        router.add_api_route(
            f"{base}/auth/callback",
            self.callback,
            methods=["POST"],
            summary="Complete a shop's connection",
            tags=["shops"],
            openapi_extra=documented(Callback, required=True),
        )
        router.add_api_route(
            f"{base}/auth/refresh", self.refresh, methods=["POST"], summary="Refresh a shop's token", tags=["shops"]
        )
        router.add_api_route(f"{base}/auth/status", self.status, summary="Whether a shop is connected", tags=["shops"])
        router.add_api_route(f"{base}/shop/info", self.info, summary="The connected shop", tags=["shops"])
        router.add_api_route(
            f"{base}/shop/disconnect",
            self.disconnect,
            methods=["DELETE"],
            summary="Disconnect the shop",
            tags=["shops"],
        )

    async def initiate(self, user: User, _body: Annotated[Initiation, Depends(json_body(Initiation))]) -> JSONResponse:
        """Answer with an address for this user, and the state in it."""
        request = token_pb2.StartAuthorizationRequest(
            provider=PROVIDER, owner=user_of(user), binding=token_pb2.LINK_BINDING_NONE
        )
        link = await self._connections.StartAuthorization(request)
        return JSONResponse({"authUrl": link.authorize_url, "state": link.state})

    async def callback(self, user: User, body: Annotated[Callback, Depends(json_body(Callback))]) -> Response:
        """Answer with the shop that is connected now; a state that is not this user's is 401."""
        request = token_pb2.CompleteAuthorizationRequest(
            state=body.state, code=body.code, shop_id=body.shop_id or "", expected=owner_connection(PROVIDER, user)
        )
        try:
            completed = await self._connections.CompleteAuthorization(request)
        except WRONG_STATES as refused:
            return error_response(refused, UNAUTHORIZED)
        return JSONResponse(shop(completed.connection))

    async def refresh(self, user: User) -> JSONResponse:
        """Refresh the shop's token now."""
        await self._connected(user)
        await self._tokens.RefreshToken(
            token_pb2.RefreshTokenRequest(
                connection=reference(PROVIDER, user), request_id=uuid.uuid4().hex, rule=token_pb2.REFRESH_RULE_ALWAYS
            )
        )
        return JSONResponse({"success": True, "message": "Token refreshed successfully"})

    async def status(self, user: User) -> JSONResponse:
        """Answer whether a shop is connected, and which."""
        try:
            return JSONResponse(shop_status(await self._connected(user)))
        except ConnectionNotFound:
            return JSONResponse(shop_status(None))

    async def info(self, user: User) -> JSONResponse:
        """Answer with the shop; one that needs its owner's consent again is there, and not active."""
        return JSONResponse(shop(await self._connected(user)))

    async def disconnect(self, user: User) -> JSONResponse:
        """End the shop's connection at once."""
        await self._connections.Disconnect(token_pb2.DisconnectRequest(connection=reference(PROVIDER, user)))
        return JSONResponse({"message": "TikTok Shop disconnected successfully", "statusCode": 200})

    async def _connected(self, user: str) -> token_pb2.Connection:
        found = await self._connections.GetConnection(
            token_pb2.GetConnectionRequest(connection=reference(PROVIDER, user))
        )
        if found.connection.status == token_pb2.CONNECTION_STATUS_DISCONNECTED:
            raise ConnectionNotFound
        return found.connection
