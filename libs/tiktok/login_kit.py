"""Login Kit v2: the consent page's address, and what its token endpoint gives, refuses or fails to say."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from libs.secret import Secret
from libs.tiktok.token_answers import (
    MAX_NAME_CHARS,
    AppRefused,
    Refused,
    Unusable,
    is_missing,
    nothing_in,
    read_access_token,
    read_names,
    read_number,
    read_refresh_token,
    read_text,
)
from libs.tiktok.transport import Answer, Request, Transport

OK = "ok"
MAX_SECONDS = 200 * 365 * 86_400  # beyond this a lifetime is not a lifetime
# Words that blame the app or TikTok, never the account.
APP_ERRORS = frozenset({"invalid_client", "unauthorized_client", "invalid_scope", "unsupported_grant_type"})
PASSING_ERRORS = frozenset({"server_error", "temporarily_unavailable", "rate_limit_exceeded"})


@dataclass(frozen=True, kw_only=True)
class App:
    """An app as registered in TikTok's developer portal."""

    client_key: str
    client_secret: Secret
    redirect_uri: str
    authorize_url: str
    api_origin: str


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A token answer with one token at least; lifetimes are seconds from the answer, None when it names none.

    refresh_garbled says that a refresh token was given and cannot be read.
    """

    account_id: str
    access_token: Secret | None
    access_seconds: int | None
    refresh_token: Secret | None
    refresh_garbled: bool
    refresh_seconds: int | None
    scopes: tuple[str, ...]


def pkce_challenge(verifier: str) -> str:
    """Return TikTok's S256 challenge: lower-case hex where RFC 7636 has base64url."""
    return hashlib.sha256(verifier.encode()).hexdigest()


def authorize_url(app: App, *, scopes: Sequence[str], state: str, verifier: str | None) -> str:
    """Return the consent page's address; scopes are comma-separated, the page is always shown."""
    query = {
        "client_key": app.client_key,
        "response_type": "code",
        "scope": ",".join(scopes),
        "redirect_uri": app.redirect_uri,
        "state": state,
        "disable_auto_auth": "1",
    }
    if verifier:
        query |= {"code_challenge": pkce_challenge(verifier), "code_challenge_method": "S256"}
    return f"{app.authorize_url}?{urlencode(query)}"


class LoginKit:
    """The token endpoint of one app.

    Methods raise Refused, AppRefused, Unusable or Garbled for an answer, CallFailed (NotSent, NoAnswer) without one.
    """

    def __init__(self, *, app: App, transport: Transport, deadline: float) -> None:
        self._app = app
        self._transport = transport
        self._deadline = deadline

    async def exchange(self, code: Secret, verifier: str | None, redirect_uri: str = "") -> Tokens:
        """Spend an authorization code; redirect_uri is that of its consent page, the app's own when empty."""
        form = {
            "code": code.reveal(),
            "grant_type": "authorization_code",
            "redirect_uri": redirect_uri or self._app.redirect_uri,
        }
        if verifier:
            form["code_verifier"] = verifier
        return read_tokens(await self._post("/v2/oauth/token/", form))

    async def refresh(self, refresh_token: Secret) -> Tokens:
        """Spend a refresh token."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
        return read_tokens(await self._post("/v2/oauth/token/", form))

    async def revoke(self, access_token: Secret) -> None:
        """End a grant by its access token, which must not have expired."""
        answer = await self._post("/v2/oauth/revoke/", {"token": access_token.reveal()})
        body = answer.json_object() if answer.body.strip() else {}
        if body is None:
            raise nothing_in(answer)
        raise_for_word(answer, body)
        if not 200 <= answer.status < 300:
            raise nothing_in(answer)

    async def _post(self, path: str, form: dict[str, str]) -> Answer:
        credentials = {"client_key": self._app.client_key, "client_secret": self._app.client_secret.reveal()}
        request = Request(method="POST", url=f"{self._app.api_origin}{path}", form=credentials | form)
        return await self._transport.send(request, deadline=self._deadline)


def raise_for_word(answer: Answer, body: dict[str, Any]) -> None:
    """Raise what an answer's error says; it decides before the status, because TikTok refuses with 200 too.

    Neither the `ok` of TikTok's other products, bare or as the code of an object, nor what cannot be an error is one.
    """
    error = body.get("error")
    word = error.get("code") if isinstance(error, dict) else error
    if not isinstance(word, str) or word in ("", OK):
        return
    if isinstance(error, dict) or word in PASSING_ERRORS:
        raise Unusable(answer.status, answer.headers.get("retry-after"))
    raise (AppRefused if word in APP_ERRORS else Refused)(word[:64])


def read_tokens(answer: Answer) -> Tokens:
    """Return the tokens of an answer, whatever is wrong around them: nobody gives them a second time."""
    body = answer.json_object() or {}
    raise_for_word(answer, body)
    access, refresh = read_access_token(body.get("access_token")), read_refresh_token(body.get("refresh_token"))
    if access is None and refresh is None:
        raise nothing_in(answer)
    return Tokens(
        account_id=read_text(body.get("open_id"), MAX_NAME_CHARS),
        access_token=access,
        access_seconds=read_seconds(body.get("expires_in")),
        refresh_token=refresh,
        refresh_garbled=refresh is None and not is_missing(body.get("refresh_token")),
        refresh_seconds=read_seconds(body.get("refresh_expires_in")),
        scopes=read_scopes(body.get("scope")),
    )


def read_scopes(value: Any) -> tuple[str, ...]:
    """Return the scopes of a comma-separated list."""
    return read_names(value.split(",") if isinstance(value, str) else ())


def read_seconds(value: Any) -> int | None:
    """Return a lifetime in seconds, or None when it is missing, no number or over: what was just given lives."""
    seconds = read_number(value)
    return None if seconds is None or seconds <= 0 else min(seconds, MAX_SECONDS)
