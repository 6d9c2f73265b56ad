"""TikTok Shop: the consent page's address, what its token host gives or refuses, and the shops behind a token.

Secrets of the token calls stand in their query, which is why no URL of theirs may reach a log or an exception.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from libs.clock import Clock
from libs.secret import Secret
from libs.tiktok.shop_sign import shop_sign
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

TOKEN_GET = "/api/v2/token/get"
TOKEN_REFRESH = "/api/v2/token/refresh"
SHOPS = "/authorization/202309/shops"

LARGEST = (1 << 62) - 1  # PostgreSQL's bigint holds it with room
TOO_MANY = 429
OK = 0
DEAD_CODE, DEAD_TOKEN = 36004004, 36004005
BAD_PARAMETER = 98001004
ADDRESS_NOT_ALLOWED = 36009033
RATE_LIMITED = 36009002
# Of the gateway: what is wrong is the access token, or what it was granted.
ACCESS_REFUSED = frozenset({105002, 101000, 105005, 36009043, 36009044})
WRONG_SIGN = 106001
# 36009004 has a dozen meanings: only the message tells them apart.
MANY_MEANINGS = 36009004
ABOUT_THE_TOKEN = ("x-tts-access-token", "`access_token`")
ABOUT_THE_APP = ("app_key", "app_secret", "app key", "app secret", "ip allow list")


@dataclass(frozen=True, kw_only=True)
class ShopApp:
    """An app as registered in the Partner Center; its redirect address is fixed there."""

    app_key: str
    app_secret: Secret
    service_id: str
    authorize_url: str
    token_origin: str
    api_origin: str


@dataclass(frozen=True, kw_only=True)
class ShopTokens:
    """A token answer with one token at least; its ends are Unix seconds, None when TikTok named none.

    refresh_garbled says that a refresh token was given and cannot be read.
    """

    open_id: str
    access_token: Secret | None
    access_ends: int | None
    refresh_token: Secret | None
    refresh_garbled: bool
    refresh_ends: int | None
    scopes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShopInfo:
    """A shop that a token may act for."""

    id: str
    cipher: str = field(repr=False)
    name: str
    region: str
    seller_type: str


def authorize_url(app: ShopApp, state: str) -> str:
    """Return the consent page's address."""
    return f"{app.authorize_url}?{urlencode({'service_id': app.service_id, 'state': state})}"


class ShopClient:
    """The token host and the gateway of one app.

    Methods raise Refused, AppRefused, Unusable or Garbled for an answer, CallFailed (NotSent, NoAnswer) without one.
    """

    def __init__(self, *, app: ShopApp, transport: Transport, clock: Clock, deadline: float) -> None:
        self._app = app
        self._transport = transport
        self._clock = clock
        self._deadline = deadline

    async def exchange(self, code: Secret) -> ShopTokens:
        """Spend an authorization code."""
        return await self._tokens(TOKEN_GET, {"auth_code": code.reveal(), "grant_type": "authorized_code"})

    async def refresh(self, refresh_token: Secret) -> ShopTokens:
        """Spend a refresh token."""
        query = {"refresh_token": refresh_token.reveal(), "grant_type": "refresh_token"}
        return await self._tokens(TOKEN_REFRESH, query)

    async def shops(self, access_token: Secret) -> tuple[ShopInfo, ...]:
        """Return the shops a token may act for; those without an id or a cipher are left out."""
        query = {"app_key": self._app.app_key, "timestamp": str(int(self._clock.now().timestamp()))}
        query["sign"] = shop_sign(self._app.app_secret, SHOPS, query)
        request = Request(
            method="GET",
            url=f"{self._app.api_origin}{SHOPS}",
            params=query,
            headers={"x-tts-access-token": access_token.reveal(), "content-type": "application/json"},
        )
        return read_shops(await self._transport.send(request, deadline=self._deadline))

    async def _tokens(self, path: str, query: Mapping[str, str]) -> ShopTokens:
        credentials = {"app_key": self._app.app_key, "app_secret": self._app.app_secret.reveal()}
        request = Request(method="GET", url=f"{self._app.token_origin}{path}", params=credentials | dict(query))
        return read_tokens(await self._transport.send(request, deadline=self._deadline))


def read_tokens(answer: Answer) -> ShopTokens:
    """Return the tokens of an answer, whatever is wrong around them: nobody gives them a second time."""
    data = read_data(answer)
    access, refresh = read_access_token(data.get("access_token")), read_refresh_token(data.get("refresh_token"))
    if access is None and refresh is None:
        raise nothing_in(answer)
    scopes = data.get("granted_scopes")
    return ShopTokens(
        open_id=read_text(data.get("open_id"), MAX_NAME_CHARS),
        access_token=access,
        access_ends=read_unix(data.get("access_token_expire_in")),
        refresh_token=refresh,
        refresh_garbled=refresh is None and not is_missing(data.get("refresh_token")),
        refresh_ends=read_unix(data.get("refresh_token_expire_in")),
        scopes=read_names(scopes if isinstance(scopes, list) else ()),
    )


def read_shops(answer: Answer) -> tuple[ShopInfo, ...]:
    """Return the shops of an answer."""
    listed = read_data(answer).get("shops")
    if not isinstance(listed, list):
        raise nothing_in(answer)
    shops = (read_shop(one) for one in listed if isinstance(one, dict))
    return tuple({shop.id: shop for shop in shops if shop.id and shop.cipher}.values())


def read_shop(one: Mapping[str, Any]) -> ShopInfo:
    """Return a shop; what makes no sense is empty."""
    return ShopInfo(
        id=read_text(one.get("id"), MAX_NAME_CHARS),
        cipher=read_text(one.get("cipher"), MAX_NAME_CHARS),
        name=read_name(one.get("name")),
        region=read_text(one.get("region"), MAX_NAME_CHARS),
        seller_type=read_text(one.get("seller_type"), MAX_NAME_CHARS),
    )


def read_data(answer: Answer) -> Mapping[str, Any]:
    """Return the data of what is no refusal; the code in the body decides, because those come with status 200 too."""
    body = answer.json_object() or {}
    code, data = read_number(body.get("code")), body.get("data")
    if code is not None and code != OK:
        message = body.get("message")
        raise refusal(code, message.lower() if isinstance(message, str) else "", answer)
    if not isinstance(data, dict):
        raise nothing_in(answer)
    return data


def refusal(code: int, message: str, answer: Answer) -> Refused | AppRefused | Unusable:
    """Return what a code and its message mean; one that is unknown says nothing about the account."""
    word = str(code)[:16]
    if code == RATE_LIMITED or answer.status == TOO_MANY:
        return Unusable(TOO_MANY, answer.headers.get("retry-after"))
    if code == ADDRESS_NOT_ALLOWED or any(part in message for part in ABOUT_THE_APP):
        return AppRefused(word)
    if code in (DEAD_CODE, DEAD_TOKEN) or code in ACCESS_REFUSED:
        return Refused(word)
    if code == MANY_MEANINGS and any(part in message for part in ABOUT_THE_TOKEN):
        return Refused(word)
    if code in (BAD_PARAMETER, WRONG_SIGN, MANY_MEANINGS):
        return AppRefused(word)
    return Unusable(answer.status, answer.headers.get("retry-after"))


def read_unix(value: Any) -> int | None:
    """Return Unix seconds, or None when they are missing or no number; sellers grant until beyond the year 2123."""
    seconds = read_number(value)
    return None if seconds is None else min(max(seconds, 0), LARGEST)


def read_name(value: Any) -> str:
    """Return a name in any script, without what PostgreSQL cannot store."""
    text = value if isinstance(value, str) else ""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")[:MAX_NAME_CHARS]
