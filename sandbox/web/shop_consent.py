"""GET and POST /open/authorize: the seller's consent page, for people and, as JSON, for plain HTTP clients."""

from urllib.parse import urlencode, urlsplit

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.codes import ShopConsent
from sandbox.ledger import Event
from sandbox.sellers import Seller
from sandbox.web.answers import Json, new_log_id
from sandbox.web.authorize import TICKET_SECONDS, ConsentError
from sandbox.web.pages import Pages, number_in, wants_json
from sandbox.world import World

PATH = "/open/authorize"
SELLERS_ON_PAGE = 24
SELLERS_IN_JSON = 20
MOST_IN_JSON = 500


class ShopConsentRoutes:
    """The consent page of TikTok Shop; where it leads to is a setting, not a parameter."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pages = Pages()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route(PATH, self.show, methods=["GET"]), Route(PATH, self.decide, methods=["POST"])]

    async def show(self, request: Request) -> Response:
        """Ask the seller, or describe to a plain client how to answer for one."""
        params = request.query_params
        if params.get("service_id") != self._world.settings.shop_service_id:
            error = ConsentError(
                "invalid_service", "service_id is missing or unknown.", "Compare it with SANDBOX_SHOP_SERVICE_ID."
            )
            return self._refuse(request, error)
        until = self._world.clock.now() + TICKET_SECONDS
        state = params.get("state", "").strip()
        ticket = self._world.signer.seal({"shop": True, "state": state, "until": until})
        if wants_json(request):
            return JSONResponse(self._description(request, ticket))
        return self._page(ticket, params)

    async def decide(self, request: Request) -> Response:
        """Take the seller's decision back to the app."""
        form = await request.form()
        try:
            return self._decided(self._state(str(form.get("ticket", ""))), form)
        except ConsentError as error:
            return self._refuse(request, error)

    def _state(self, ticket: str) -> str:
        value = self._world.signer.unseal(ticket)
        if value is None or "shop" not in value or value["until"] <= self._world.clock.now():
            raise ConsentError("invalid_request", "This page is too old.", "Start again from the app.")
        return str(value["state"])

    def _decided(self, state: str, form: FormData) -> Response:
        if form.get("decision") == "authorize":
            return self._authorize(state, str(form.get("account", "")))
        if form.get("decision") != "cancel":
            raise ConsentError("invalid_request", "No decision was made.", "Choose Authorize or Cancel.")
        if self._world.board.now.shop_cancel == "redirect":
            return self._send_back({"error": "access_denied", "state": state})
        return self._pages.page("cancelled.html", {})

    def _authorize(self, state: str, account: str) -> Response:
        seller = self._world.sellers.find(account)
        if seller is None:
            raise ConsentError("invalid_request", "No account was chosen.", "Go back and choose one of the accounts.")
        consent = ShopConsent(seller.open_id, self._world.clock.now())
        code = self._world.shop_codes.issue(consent, f"{seller.family}_")
        self._world.ledger.record(Event("minted", "code", "ok", open_id=seller.open_id, token=code))
        return self._send_back(self._callback(seller, code, state))

    def _callback(self, seller: Seller, code: str, state: str) -> dict[str, str]:
        mode = self._world.board.now.shop_callback
        if mode == "app_store":
            return {"code": code}
        extras = {"app_key": self._world.settings.shop_app_key, "locale": "en-GB", "shop_region": seller.region or ""}
        return {"code": code, "state": state, **(extras if mode == "extras" else {})}

    def _send_back(self, answer: dict[str, str]) -> Response:
        target = self._world.board.now.shop_redirect_uri
        query = urlencode({name: value for name, value in answer.items() if value})
        joint = "&" if "?" in target else "?"
        return RedirectResponse(f"{target}{joint}{query}", 303, {"Cache-Control": "no-store"})

    def _page(self, ticket: str, params: QueryParams) -> Response:
        query = params.get("q", "")
        found = self._world.sellers.search(query)
        target = self._world.board.now.shop_redirect_uri
        values = {
            "ticket": ticket,
            "query": query,
            "sellers": found[:SELLERS_ON_PAGE],
            "total": len(found),
            "scopes": self._world.board.now.shop_scopes,
            "carried": [(name, value) for name, value in params.multi_items() if name != "q"],
            "host": urlsplit(target).netloc,
        }
        return self._pages.page("shop_consent.html", values, form_target=target)

    def _description(self, request: Request, ticket: str) -> Json:
        params = request.query_params
        found = self._world.sellers.search(params.get("q", ""))
        offset, limit = number_in(params, "offset", 0), number_in(params, "limit", SELLERS_IN_JSON)
        end = offset + min(MOST_IN_JSON, limit)
        return {
            "consent_url": str(request.url.replace(query="")),
            "ticket": ticket,
            "accounts": [seller_row(seller) for seller in found[offset:end]],
            "accounts_total": len(found),
            "next_offset": end if end < len(found) else None,
        }

    def _refuse(self, request: Request, error: ConsentError) -> Response:
        log_id = new_log_id()
        if wants_json(request):
            body = {"error": error.error, "error_description": f"{error.description} {error.advice}", "log_id": log_id}
            return JSONResponse(body, 400)
        return self._pages.page("refused.html", {"error": error, "log_id": log_id}, status=400)


def seller_row(seller: Seller) -> Json:
    """Return what a list shows of a seller or creator."""
    return {
        "username": seller.username,
        "open_id": seller.open_id,
        "user_type": seller.user_type,
        "seller_name": seller.name,
        "region": seller.region,
        "shops": [shop.as_json() for shop in seller.shops],
    }
