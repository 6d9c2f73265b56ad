"""POST /v2/oauth/token/ and /v2/oauth/revoke/: form in, flat JSON out, rotation done before the answer leaves."""

import hmac
import secrets
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import pkce
from sandbox.codes import Consent
from sandbox.grants import Opening, Pair, RefusedError
from sandbox.ledger import Event
from sandbox.web.answers import Answer, oauth_error, oauth_ok
from sandbox.web.delivery import call_of, deliver
from sandbox.world import World

CLIENT_TOKEN_SECONDS = 7_200
REMOVED_BY_DEVELOPER = 5
Form = dict[str, str]

MALFORMED = ("invalid_request", "The request parameters are malformed.")
NO_SECRET = ("invalid_request", "Client secret is missed in request.")
WRONG_CLIENT = ("invalid_client", "Client key or secret is incorrect.")
CODE_EXPIRED = ("invalid_grant", "Authorization code is expired.")
REDIRECT_DIFFERS = ("invalid_request", "Redirect_uri is not matched with the uri when requesting code.")
PKCE_FAILED = ("invalid_request", "Code verifier or code challenge is invalid.")
REFRESH_DEAD = ("invalid_grant", "Refresh token is invalid or expired.")
ACCESS_DEAD = ("invalid_grant", "Access token is invalid or expired.")
UNSUPPORTED = ("unsupported_grant_type", "The grant type is not supported.")


class OAuthRoutes:
    """The token and revocation endpoints."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_grant_type: dict[str, Callable[[Form], Answer]] = {
            "authorization_code": self._exchange,
            "refresh_token": self._refresh,
            "client_credentials": self._client_credentials,
        }

    def routes(self) -> list[Route]:
        """Return the routes; the slash at the end belongs to them."""
        return [
            Route("/v2/oauth/token/", self.token, methods=["POST"]),
            Route("/v2/oauth/revoke/", self.revoke, methods=["POST"]),
        ]

    async def token(self, request: Request) -> Response:
        """Exchange a code, refresh, or hand out a client token."""
        form = await read_form(request)
        call = call_of(request, "token", self._account_of(form))
        return await deliver(self._world, call, lambda: self._token(form))

    async def revoke(self, request: Request) -> Response:
        """End the grant that an access token speaks for."""
        form = await read_form(request)
        call = call_of(request, "revoke", self._world.grants.owner(form.get("token", "")))
        return await deliver(self._world, call, lambda: self._revoke(form))

    def _account_of(self, form: Form) -> str | None:
        consent = self._world.codes.peek(form.get("code", ""))
        return consent.open_id if consent else self._world.grants.owner(form.get("refresh_token", ""))

    def _error(self, error: tuple[str, str]) -> Answer:
        return oauth_error(self._world.board.now, *error)

    def _client_error(self, form: Form) -> Answer | None:
        settings = self._world.settings
        if not form.get("client_key"):
            return self._error(MALFORMED)
        if not form.get("client_secret"):
            return self._error(NO_SECRET)
        given = f"{form['client_key']}\n{form['client_secret']}"
        wanted = f"{settings.client_key}\n{settings.client_secret.get_secret_value()}"
        return None if hmac.compare_digest(given.encode(), wanted.encode()) else self._error(WRONG_CLIENT)

    def _token(self, form: Form) -> Answer:
        if not form.get("grant_type"):
            return self._error(MALFORMED)
        serve = self._by_grant_type.get(form["grant_type"])
        return self._error(UNSUPPORTED) if serve is None else self._client_error(form) or serve(form)

    def _exchange(self, form: Form) -> Answer:
        code = form.get("code", "")
        if not code:
            return self._error(MALFORMED)
        consent = self._world.codes.peek(code)
        if consent is None:
            outcome = "reused" if self._world.codes.was_spent(code) else "unknown"
            self._world.ledger.record(Event("presented", "code", outcome, token=code))
            return self._error(CODE_EXPIRED)
        refusal = self._exchange_refusal(form, consent)
        self._world.ledger.record(
            Event("presented", "code", "refused" if refusal else "exchanged", open_id=consent.open_id, token=code)
        )
        if refusal:
            return self._error(refusal)
        self._world.codes.spend(code)
        return self._hand_out(self._world.grants.open(Opening(consent.open_id, consent.scopes)))

    def _exchange_refusal(self, form: Form, consent: Consent) -> tuple[str, str] | None:
        if form.get("redirect_uri") != consent.redirect_uri:
            return REDIRECT_DIFFERS
        if not consent.code_challenge:
            return None
        worth = self._world.board.now.base64url
        proven = pkce.proves(form.get("code_verifier", ""), consent.code_challenge, worth)
        return None if proven else PKCE_FAILED

    def _refresh(self, form: Form) -> Answer:
        token = form.get("refresh_token", "")
        if not token:
            return self._error(MALFORMED)
        try:
            pair = self._world.grants.refresh(token)
        except RefusedError as refused:
            self._world.note_refused("refresh", token, refused)
            return self._error(REFRESH_DEAD)
        self._world.note_accepted("refresh", "rotated", token, pair.grant)
        return self._hand_out(pair)

    def _client_credentials(self, _form: Form) -> Answer:
        token = f"clt.CNRY{secrets.token_hex(20)}"
        self._world.ledger.record(Event("minted", "client", "ok", token=token))
        seconds = self._world.clock.real(CLIENT_TOKEN_SECONDS)
        return oauth_ok({"access_token": token, "expires_in": seconds, "token_type": "Bearer"})

    def _revoke(self, form: Form) -> Answer:
        refusal = self._client_error(form)
        if refusal:
            return refusal
        token = form.get("token", "")
        try:
            grant = self._world.grants.access(token)
        except RefusedError as refused:
            self._world.note_refused("access", token, refused)
            return self._error(ACCESS_DEAD)
        self._world.grants.revoke(grant, "revoked by the developer")
        self._world.ledger.record(Event("revoked", "grant", "developer", open_id=grant.open_id, grant=grant.id))
        self._world.tell_removed(grant.open_id, REMOVED_BY_DEVELOPER)
        return oauth_ok({})

    def _hand_out(self, pair: Pair) -> Answer:
        grant, clock = pair.grant, self._world.clock
        self._world.ledger.record_pair(pair)
        return oauth_ok(
            {
                "access_token": pair.access_token,
                "expires_in": clock.real(pair.access_life),
                "open_id": grant.open_id,
                "refresh_expires_in": clock.real(pair.refresh_life),
                "refresh_token": pair.refresh_token,
                "scope": ",".join(grant.scopes),
                "token_type": "Bearer",
            }
        )


async def read_form(request: Request) -> Form:
    """Return the form fields; empty when the body is not a URL-encoded form, or has a field of more than a megabyte."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    try:
        return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    except HTTPException:
        return {}
