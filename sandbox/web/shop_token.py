"""GET /api/v2/token/get and /api/v2/token/refresh: secrets in the query, errors with HTTP 200, expiries absolute."""

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.grants import Opening, Pair, RefusedError
from sandbox.ledger import Event
from sandbox.sellers import Seller
from sandbox.shop_signing import signs
from sandbox.web.answers import Answer, Json
from sandbox.web.delivery import call_of, deliver
from sandbox.web.shop_answers import page_not_found, parameter_error, shop_error, shop_ok
from sandbox.world import World

ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Query = Mapping[str, str]


class ShopTokenRoutes:
    """The token host of TikTok Shop: two paths, GET only, and nothing else under /api/."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/api/v2/token/get", self.get, methods=ANY_METHOD),
            Route("/api/v2/token/refresh", self.refresh, methods=ANY_METHOD),
            Route("/api/{rest:path}", self.nothing_here, methods=ANY_METHOD),
        ]

    async def get(self, request: Request) -> Response:
        """Exchange a code."""
        consent = self._world.shop_codes.peek(request.query_params.get("auth_code", ""))
        return await self._serve(request, consent.open_id if consent else None, self._exchange)

    async def refresh(self, request: Request) -> Response:
        """Exchange a refresh token."""
        owner = self._world.grants.owner(request.query_params.get("refresh_token", ""))
        return await self._serve(request, owner, self._refresh)

    async def nothing_here(self, request: Request) -> Response:
        """Answer like a router that has no such path."""
        return await deliver(self._world, call_of(request, "shop_token", None), page_not_found)

    async def _serve(self, request: Request, owner: str | None, work: Callable[[Query], Answer]) -> Response:
        if request.method != "GET":
            return await self.nothing_here(request)
        query = request.query_params
        return await deliver(
            self._world, call_of(request, "shop_token", owner), lambda: self._app_error(query) or work(query)
        )

    def _app_error(self, query: Query) -> Answer | None:
        settings = self._world.settings
        wanted = {"app_key": settings.shop_app_key, "app_secret": settings.shop_app_secret.get_secret_value()}
        for name, value in wanted.items():
            if not signs(query.get(name, ""), value):
                return parameter_error(name, "it does not belong to an app")
        return None

    def _exchange(self, query: Query) -> Answer:
        if query.get("grant_type") != "authorized_code":
            return parameter_error("grant_type", "it must be authorized_code")
        code = query.get("auth_code", "")
        consent = self._world.shop_codes.peek(code)
        if consent is None:
            outcome = "reused" if self._world.shop_codes.was_spent(code) else "unknown"
            self._world.ledger.record(Event("presented", "code", outcome, token=code))
            return shop_error("auth_code")
        self._world.ledger.record(Event("presented", "code", "exchanged", open_id=consent.open_id, token=code))
        self._world.shop_codes.spend(code)
        seller = self._seller(consent.open_id)
        scopes = self._world.board.now.shop_scopes
        return self._hand_out(self._world.grants.open(Opening(seller.open_id, scopes, seller.family, consent.agreed)))

    def _refresh(self, query: Query) -> Answer:
        if query.get("grant_type") != "refresh_token":
            return parameter_error("grant_type", "it must be refresh_token")
        token = query.get("refresh_token", "")
        try:
            pair = self._world.grants.refresh(token, "shop")
        except RefusedError as refused:
            self._world.note_refused("refresh", token, refused)
            return shop_error("auth_record")
        self._world.note_accepted("refresh", "rotated", token, pair.grant)
        return self._hand_out(pair)

    def _seller(self, open_id: str) -> Seller:
        seller = self._world.sellers.find(open_id)
        if seller is None:
            raise LookupError(f"the state file knows seller {open_id}, SANDBOX_SEED makes another")
        return seller

    def _hand_out(self, pair: Pair) -> Answer:
        self._world.ledger.record_pair(pair)
        return shop_ok(token_data(self._world, self._seller(pair.grant.open_id), pair), "success")


def token_data(world: World, seller: Seller, pair: Pair) -> Json:
    """Return the data of a token answer; expiries are Unix seconds."""
    return {
        "access_token": pair.access_token,
        "access_token_expire_in": world.shop_time(pair.issued + pair.access_life),
        "refresh_token": pair.refresh_token,
        "refresh_token_expire_in": world.shop_time(pair.grant.refresh_expires),
        "open_id": seller.open_id,
        "seller_name": seller.name,
        **({"seller_base_region": seller.region} if seller.region else {}),
        "user_type": seller.user_type,
        "granted_scopes": pair.grant.scopes,
    }
