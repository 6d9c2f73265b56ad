"""The way to TikTok and back: /connect/tiktok, /auth/url and /auth/tiktok/callback."""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlencode, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField, StateInvalid, TokhubError
from libs.tiktok.address import origin_of
from services.gateway.backends import Backends
from services.gateway.pages.render import Pages
from services.gateway.parameters import StoreInQuery
from services.gateway.routes.answers import one

CONNECT = "/connect/tiktok"
CALLBACK = "/auth/tiktok/callback"
# Where some Partner Centers send sellers; the state says whose shop it is.
SHOP_CALLBACK = "/api/v1/tiktok/auth/callback"
# Errors of these paths are pages when they are opened: a person is looking.
PAGE_PATHS = frozenset({CONNECT, CALLBACK, SHOP_CALLBACK})

PLAIN_COOKIE = "tokhub_oauth"
HOST_COOKIE = "__Host-tokhub_oauth"
NOWHERE = urlsplit("")
COOKIE_SECONDS = 600  # the life of a state

STATE = re.compile(r"[!-~]{1,2048}")
CODE = re.compile(r"[!-~]{1,2048}")
ERROR_WORD = re.compile(r"[A-Za-z0-9_.-]{1,256}")
NONCE = re.compile(r"[!-~]{1,128}")


class ConnectRoutes:
    """Sends a person to TikTok's consent page and takes what comes back."""

    def __init__(self, *, backends: Backends, pages: Pages, redirect_uri: str) -> None:
        self._backends = backends
        self._pages = pages
        self._redirect_uri = redirect_uri

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        router.add_api_route(
            CONNECT,
            self.connect,
            status_code=302,
            response_class=HTMLResponse,
            summary="Go to TikTok's consent page",
            tags=["oauth"],
        )
        router.add_api_route("/auth/url", self.url, summary="Address of TikTok's consent page", tags=["oauth"])
        for path in (CALLBACK, SHOP_CALLBACK):
            router.add_api_route(
                path,
                self.callback,
                response_class=HTMLResponse,
                summary="Where TikTok sends the browser",
                tags=["oauth"],
            )

    async def connect(self, request: Request, store_code: StoreInQuery) -> Response:
        """Send this browser, and only this one, to TikTok."""
        if goes_by_another_name(request, self._redirect_uri):
            here = f"{origin_of(self._redirect_uri)}{CONNECT}?{urlencode({'store_code': store_code})}"
            return Response(status_code=302, headers={"Location": here})
        link = await self._link(store_code, token_pb2.LINK_BINDING_BROWSER)
        response = Response(status_code=302, headers={"Location": link.authorize_url})
        set_nonce(request, response, link.browser_nonce)
        return response

    async def url(self, store_code: StoreInQuery) -> JSONResponse:
        """Answer with an address that any browser may use, once."""
        link = await self._link(store_code, token_pb2.LINK_BINDING_NONE)
        return one({"authUrl": link.authorize_url})

    async def callback(self, request: Request) -> HTMLResponse:
        """Complete the connection and say how it went."""
        try:
            page = self._pages.connected(await self._complete(request))
        except StateInvalid as error:
            # It is of no link of this browser, whose own may be under way in another tab.
            return self._pages.failed(error)
        except TokhubError as error:
            # Whatever failed, the state may be spent: nothing but a new link helps, and that brings a new nonce.
            page = self._pages.failed(error)
        clear_nonce(request, page)
        return page

    async def _link(self, code: str, binding: token_pb2.LinkBinding.ValueType) -> token_pb2.StartAuthorizationResponse:
        found = await self._backends.stores.GetStore(sync_pb2.GetStoreRequest(store_code=code))
        request = token_pb2.StartAuthorizationRequest(
            provider=token_pb2.PROVIDER_LOGIN_KIT,
            owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=code),
            team_id=found.store.team_id,
            binding=binding,
        )
        return await self._backends.connections.StartAuthorization(request)

    async def _complete(self, request: Request) -> token_pb2.Owner:
        returned = complete_request(request.query_params, nonce_of(request))
        completed = await self._backends.connections.CompleteAuthorization(returned)
        return completed.connection.owner


def complete_request(parameters: Mapping[str, str], nonce: str) -> token_pb2.CompleteAuthorizationRequest:
    """Return what TikTok appended to the redirect, or raise StateInvalid or InvalidField."""
    state, code, error = (parameters.get(name, "") for name in ("state", "code", "error"))
    if not STATE.fullmatch(state):
        raise StateInvalid
    if error:
        word = error if ERROR_WORD.fullmatch(error) else "unknown_error"
        return token_pb2.CompleteAuthorizationRequest(state=state, error=word, browser_nonce=nonce)
    if not CODE.fullmatch(code):
        raise InvalidField("code", "must be the authorization code of TikTok")
    return token_pb2.CompleteAuthorizationRequest(state=state, code=code, browser_nonce=nonce)


def is_plain_loopback(request: Request) -> bool:
    """Return whether the browser came by http to this machine, where browsers refuse __Host- cookies."""
    return request.scope.get("scheme") == "http" and is_loopback(asked_for(request))


def asked_for(request: Request) -> SplitResult:
    """Return the host and port that the browser asked for; without a name when they make no sense."""
    try:
        address = urlsplit(f"http://{request.headers.get('host', '')}")
        usable = address.port != 0  # asking for the port raises ValueError for anything that is none
    except ValueError:
        return NOWHERE
    return address if usable else NOWHERE


def is_loopback(address: SplitResult) -> bool:
    """Return whether an address is this machine's own."""
    try:
        return address.hostname == "localhost" or ipaddress.ip_address(address.hostname or "").is_loopback
    except ValueError:
        return False


def goes_by_another_name(request: Request, redirect_uri: str) -> bool:
    """Return whether the browser calls this machine by another name than TikTok will, and so would lack its cookie.

    That is only said of loopback and of one port: elsewhere a proxy may have put its own name in the place of ours.
    """
    here, back = asked_for(request), urlsplit(redirect_uri)
    if back.scheme != "http" or not is_loopback(back) or not is_plain_loopback(request):
        return False
    return here.port == back.port and here.hostname != back.hostname


def nonce_of(request: Request) -> str:
    """Return the nonce this browser was given; empty when it has none, or several, of which one may be planted."""
    name = PLAIN_COOKIE if is_plain_loopback(request) else HOST_COOKIE
    cookies = ";".join(request.headers.getlist("cookie")).split(";")
    pairs = [(key.strip(), value.strip()) for key, _, value in (cookie.partition("=") for cookie in cookies)]
    nonces = [value for key, value in pairs if key == name]
    return nonces[0] if len(nonces) == 1 and NONCE.fullmatch(nonces[0]) else ""


def set_nonce(request: Request, response: Response, nonce: str, seconds: int = COOKIE_SECONDS) -> None:
    """Give the browser its nonce; anything but plain loopback http is taken for https."""
    plain = is_plain_loopback(request)
    name = PLAIN_COOKIE if plain else HOST_COOKIE
    response.set_cookie(name, nonce, max_age=seconds, path="/", secure=not plain, httponly=True, samesite="lax")


def clear_nonce(request: Request, response: Response) -> None:
    """Take the nonce back."""
    set_nonce(request, response, "", seconds=0)
