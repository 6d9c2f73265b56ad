"""A service of yours that asks TikTok how many followers a store has, with a token from tokhub.

Start it with `uvicorn examples.followers:app`; TOKEN_TARGET, TLS_CA, TLS_CERT and TLS_KEY say whom it asks, as whom.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from libs.client import Reference, Rejected, Token, TokenClient
from libs.errors import NeedsConsent, TokhubError, TryLater, WrongRequest

TIKTOK = os.environ.get("TIKTOK_API_BASE_URL", "https://open.tiktokapis.com")


class TikTok:
    """The one call of TikTok that this service makes."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def followers(self, token: Token) -> int:
        """Return how many followers the account of the token has; raise Rejected when TikTok does not accept it."""
        headers = {"Authorization": token.authorization}
        async with self._http.get("/v2/user/info/?fields=follower_count", headers=headers) as answer:
            body = await answer.json()
        # A missing scope is 401 too, and no other token would have it.
        if body["error"]["code"] == "access_token_invalid":
            raise Rejected
        return int(body["data"]["user"]["follower_count"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold the token client and the connections to TikTok for as long as the service runs."""
    async with TokenClient.from_environment() as tokens, aiohttp.ClientSession(TIKTOK) as http:
        app.state.tokens, app.state.tiktok = tokens, TikTok(http)
        yield


app = FastAPI(title="Followers", lifespan=lifespan)


@app.get("/followers/{store_code}")
async def followers(store_code: str, request: Request) -> dict[str, int]:
    """Return how many followers a store has."""
    state = request.app.state
    return {"followers": await state.tokens.use(Reference.of_store(store_code), state.tiktok.followers)}


@app.exception_handler(TokhubError)
async def failed(_request: Request, error: Exception) -> JSONResponse:
    """Say what the caller can do about it."""
    statuses = {WrongRequest: 404, NeedsConsent: 409, TryLater: 503}
    status = next((status for kind, status in statuses.items() if isinstance(error, kind)), 502)
    return JSONResponse({"error": str(error)}, status_code=status)
