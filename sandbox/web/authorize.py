"""GET and POST /v2/auth/authorize/: the consent page, for people and, as JSON, for plain HTTP clients."""

from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.accounts import Account
from sandbox.codes import Consent
from sandbox.ledger import Event
from sandbox.scopes import DESCRIPTIONS, split_list
from sandbox.web.answers import Json, new_log_id
from sandbox.web.pages import Pages, number_in, wants_json
from sandbox.world import World

TICKET_SECONDS = 600
PEOPLE_ON_PAGE = 24
PEOPLE_IN_JSON = 20
MOST_IN_JSON = 500


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What the app asked for, checked."""

    scopes: tuple[str, ...]
    redirect_uri: str
    state: str
    code_challenge: str


class ConsentError(Exception):
    """The request cannot go on; it is told to the person, never to the redirect_uri."""

    def __init__(self, error: str, description: str, advice: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.advice = advice


class RedirectedError(Exception):
    """The request cannot go on; the app learns it through its redirect_uri."""

    def __init__(self, request: AuthorizationRequest, error: str, description: str) -> None:
        super().__init__(error)
        self.request = request
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class _People:
    shown: list[Account]
    total: int
    chosen: Account | None
    query: str


class AuthorizeRoutes:
    """The consent page and what follows from it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pages = Pages()

    def routes(self) -> list[Route]:
        """Return the routes; the consent page answers with and without the slash at the end."""
        return [
            *(Route(path, self.show, methods=["GET"]) for path in ("/v2/auth/authorize", "/v2/auth/authorize/")),
            *(Route(path, self.decide, methods=["POST"]) for path in ("/v2/auth/authorize", "/v2/auth/authorize/")),
            Route("/v2/auth/consent.css", self.stylesheet, methods=["GET"]),
        ]

    async def stylesheet(self, _request: Request) -> Response:
        """Answer the look of the pages."""
        return self._pages.stylesheet()

    async def show(self, request: Request) -> Response:
        """Ask the person, or describe to a plain client how to answer for one."""
        try:
            wanted = self._check(request.query_params)
        except ConsentError as error:
            return self._refuse(request, error)
        except RedirectedError as error:
            return self._send_back(error.request, {"error": error.error, "error_description": error.description})
        ticket = self._world.signer.seal(
            {
                "scopes": wanted.scopes,
                "redirect_uri": wanted.redirect_uri,
                "state": wanted.state,
                "code_challenge": wanted.code_challenge,
                "until": self._world.clock.now() + TICKET_SECONDS,
            }
        )
        if wants_json(request):
            return JSONResponse(self._description(request, wanted, ticket))
        return self._pages.page(
            "consent.html",
            {
                "ticket": ticket,
                "people": self._people(request.query_params),
                "scopes": [(scope, DESCRIPTIONS[scope]) for scope in wanted.scopes],
                "carried": [(n, v) for n, v in request.query_params.multi_items() if n not in ("q", "login_hint")],
                "host": urlsplit(wanted.redirect_uri).netloc,
            },
            form_target=wanted.redirect_uri,
        )

    async def decide(self, request: Request) -> Response:
        """Take the person's decision back to the app."""
        form = await request.form()
        try:
            return self._decided(self._unseal(str(form.get("ticket", ""))), form)
        except ConsentError as error:
            return self._refuse(request, error)

    def _decided(self, wanted: AuthorizationRequest, form: FormData) -> Response:
        if form.get("decision") == "authorize":
            return self._authorize(wanted, form)
        if form.get("decision") == "deny":
            refused = {"error": "access_denied", "error_description": "User canceled the authorization."}
            return self._send_back(wanted, refused, status=303)
        raise ConsentError("invalid_request", "No decision was made.", "Choose Authorize or Deny.")

    def _authorize(self, wanted: AuthorizationRequest, form: FormData) -> Response:
        account = self._world.accounts.find(str(form.get("account", "")))
        if account is None:
            raise ConsentError("invalid_request", "No account was chosen.", "Go back and choose one of the accounts.")
        allowed = set(map(str, form.getlist("scopes")))
        scopes = tuple(scope for scope in wanted.scopes if scope in allowed)
        if not scopes:
            raise ConsentError("invalid_scope", "Nothing was allowed.", "Go back and leave at least one permission on.")
        consent = Consent(account.open_id, scopes, wanted.redirect_uri, wanted.code_challenge)
        code = self._world.codes.issue(consent)
        self._world.ledger.record(Event("minted", "code", "ok", open_id=account.open_id, token=code))
        return self._send_back(wanted, {"code": code, "scopes": ",".join(scopes)}, status=303)

    def _send_back(self, wanted: AuthorizationRequest, answer: dict[str, str], *, status: int = 302) -> Response:
        query = urlencode({**answer, "state": wanted.state})
        joint = "&" if "?" in wanted.redirect_uri else "?"
        return RedirectResponse(f"{wanted.redirect_uri}{joint}{query}", status, {"Cache-Control": "no-store"})

    def _check(self, params: QueryParams) -> AuthorizationRequest:
        switches = self._world.board.now
        if params.get("client_key") != self._world.settings.client_key:
            raise ConsentError(
                "unauthorized_client", "client_key is missing or unknown.", "Compare it with SANDBOX_CLIENT_KEY."
            )
        if params.get("redirect_uri") not in switches.redirect_uris:
            raise ConsentError(
                "invalid_request",
                "redirect_uri is not registered.",
                "Add it, letter by letter, to SANDBOX_REDIRECT_URIS.",
            )
        if not params.get("state"):
            raise ConsentError("invalid_request", "state is missing.", "Send a fresh, unguessable state.")
        challenge = params.get("code_challenge", "")
        if challenge and params.get("code_challenge_method", "S256") != "S256":
            raise ConsentError(
                "invalid_request", "code_challenge_method is not S256.", "Send code_challenge_method=S256."
            )
        if not challenge and switches.app_type == "desktop":
            raise ConsentError(
                "invalid_request", "code_challenge is missing.", "A desktop app must send code_challenge."
            )
        wanted = AuthorizationRequest(
            split_list(params.get("scope", "")), params["redirect_uri"], params["state"], challenge
        )
        if params.get("response_type") != "code":
            raise RedirectedError(wanted, "unsupported_response_type", "response_type must be code.")
        if not wanted.scopes or not set(wanted.scopes) <= set(DESCRIPTIONS):
            raise RedirectedError(wanted, "invalid_scope", "A scope is missing or unknown; separate scopes by commas.")
        return wanted

    def _unseal(self, ticket: str) -> AuthorizationRequest:
        value = self._world.signer.unseal(ticket)
        if value is None or "shop" in value or value["until"] <= self._world.clock.now():
            raise ConsentError("invalid_request", "This page is too old.", "Start again from the app.")
        return AuthorizationRequest(
            tuple(value["scopes"]), value["redirect_uri"], value["state"], value["code_challenge"]
        )

    def _people(self, params: QueryParams) -> _People:
        query = params.get("q", "")
        chosen = self._world.accounts.find(params.get("login_hint", ""))
        found = self._world.accounts.search(query)
        others = [account for account in found if account != chosen]
        shown = ([chosen] if chosen else []) + others[:PEOPLE_ON_PAGE]
        return _People(shown, len(found), chosen, query)

    def _description(self, request: Request, wanted: AuthorizationRequest, ticket: str) -> Json:
        params = request.query_params
        found = self._world.accounts.search(params.get("q", ""))
        offset, limit = number_in(params, "offset", 0), min(MOST_IN_JSON, number_in(params, "limit", PEOPLE_IN_JSON))
        chosen = self._world.accounts.find(params.get("login_hint", ""))
        return {
            "consent_url": str(request.url.replace(query="")),
            "ticket": ticket,
            "scopes": list(wanted.scopes),
            "selected": chosen.open_id if chosen else None,
            "accounts": [
                {"open_id": a.open_id, "username": a.username, "display_name": a.display_name}
                for a in found[offset : offset + limit]
            ],
            "accounts_total": len(found),
            "next_offset": offset + limit if offset + limit < len(found) else None,
        }

    def _refuse(self, request: Request, error: ConsentError) -> Response:
        log_id = new_log_id()
        if wants_json(request):
            body = {"error": error.error, "error_description": f"{error.description} {error.advice}", "log_id": log_id}
            return JSONResponse(body, 400)
        return self._pages.page("refused.html", {"error": error, "log_id": log_id}, status=400)
