"""GET /authorization/202309/shops: signed requests, checked in the gateway's own order."""

import time
from math import ceil

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.grants import Grant, RefusedError
from sandbox.sellers import CREATOR
from sandbox.shop_signing import shop_sign, signs
from sandbox.web.answers import Answer
from sandbox.web.delivery import call_of, deliver
from sandbox.web.shop_answers import shop_error, shop_ok
from sandbox.web.shop_token import ANY_METHOD
from sandbox.world import World

SHOPS = "/authorization/202309/shops"
SCOPE = "seller.authorization.info"
OLDEST_SECONDS = 300
NEWEST_SECONDS = 30
# What the real gateway serves beside the shops; here every path below them is unknown.
ROOMS = ("authorization", "seller", "order", "product", "analytics", "event")


class ShopApiRoutes:
    """The gateway of TikTok Shop."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return the routes: the shops, and the gateway's own 404 for everything else."""
        elsewhere = [Route(f"/{room}/{{rest:path}}", self.nothing_here, methods=ANY_METHOD) for room in ROOMS]
        return [Route(SHOPS, self.shops, methods=ANY_METHOD), *elsewhere]

    async def nothing_here(self, request: Request) -> Response:
        """Answer that there is no such path."""
        return await deliver(self._world, call_of(request, "shops", None), lambda: shop_error("path"))

    async def shops(self, request: Request) -> Response:
        """Answer the shops of the token's grant."""
        token = request.headers.get("x-tts-access-token", "")
        body = await request.body()
        call = call_of(request, "shops", self._world.grants.owner(token))
        return await deliver(
            self._world, call, lambda: self._request_error(request, body) or self._of_token(request, token)
        )

    def _request_error(self, request: Request, body: bytes) -> Answer | None:
        if request.method != "GET":
            return shop_error("method")
        if request.query_params.get("app_key") != self._world.settings.shop_app_key:
            return shop_error("app_key")
        return self._timestamp_error(request) or self._sign_error(request, body)

    def _timestamp_error(self, request: Request) -> Answer | None:
        text = request.query_params.get("timestamp", "")
        if not (text.isascii() and text.isdigit()) or len(text) > 15:
            return shop_error("timestamp")
        switches = self._world.board.now
        now = time.time() if switches.shop_unix_time == "client" else self._world.clock.now()
        if int(text) < now - OLDEST_SECONDS:
            return shop_error("too_early")
        return shop_error("too_late") if int(text) > now + NEWEST_SECONDS else None

    def _sign_error(self, request: Request, body: bytes) -> Answer | None:
        given = request.query_params.get("sign", "")
        if not given:
            return shop_error("no_sign")
        is_multipart = request.headers.get("content-type", "").startswith("multipart/form-data")
        secret = self._world.settings.shop_app_secret.get_secret_value()
        expected = shop_sign(secret, request.url.path, request.query_params, b"" if is_multipart else body)
        return None if signs(given, expected) else shop_error("sign")

    def _of_token(self, request: Request, token: str) -> Answer:
        try:
            grant = self._world.grants.access(token, "shop")
        except RefusedError as refused:
            return self._refused(token, refused)
        self._world.note_accepted("access", "accepted", token, grant)
        if SCOPE not in grant.scopes:
            return shop_error("scope")
        if "shop_cipher" in request.query_params:
            return shop_error("unexpected")
        return self._over_limit() or self._list(grant)

    def _refused(self, token: str, refused: RefusedError) -> Answer:
        self._world.note_refused("access", token, refused)
        if refused.reason == "expired":
            return shop_error("expired")
        deauthorized = refused.reason == "revoked" and self._world.board.now.shop_deauthorized == "105002"
        return shop_error("expired" if deauthorized else "token")

    def _over_limit(self) -> Answer | None:
        switches = self._world.board.now
        wait = self._world.limiter.admit(
            "shops", limit=switches.shop_rate_limit, window=switches.shop_rate_window_seconds
        )
        if not wait:
            return None
        answer = shop_error("rate_limit")
        if switches.shop_retry_after == "present":
            answer.headers["Retry-After"] = str(max(1, ceil(wait / self._world.clock.scale)))
        return answer

    def _list(self, grant: Grant) -> Answer:
        seller = self._world.sellers.find(grant.open_id)
        if seller is None:
            raise LookupError(f"the state file knows seller {grant.open_id}, SANDBOX_SEED makes another")
        if seller.user_type == CREATOR:
            return shop_error("user_type")
        return shop_ok({"shops": [shop.as_json() for shop in seller.shops]})
