"""The way to TikTok and back: /connect/tiktok, /auth/url and /auth/tiktok/callback."""

import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField, StateInvalid, TokhubError
from libs.tiktok.address import origin_of
from services.gateway.backends import Backends
from services.gateway.cookies import Cookie, asked_for, is_loopback, is_plain_loopback
from services.gateway.gates import OAuthGate
from services.gateway.pages.render import Pages
from services.gateway.parameters import StoreInQuery
from services.gateway.routes.answers import one

CONNECT = "/connect/tiktok"
CALLBACK = "/auth/tiktok/callback"
# Where some Partner Centers send sellers; the state says whose shop it is.
SHOP_CALLBACK = "/api/v1/tiktok/auth/callback"
# Errors of these paths are pages when they are opened: a person is looking.
PAGE_PATHS = frozenset({CONNECT, CALLBACK, SHOP_CALLBACK})

# It lives as long as a state.
NONCE = Cookie(name="tokhub_oauth", seconds=600, same_site="lax")

STATE = re.compile(r"[!-~]{1,2048}")
CODE = re.compile(r"[!-~]{1,2048}")
ERROR_WORD = re.compile(r"[A-Za-z0-9_.-]{1,256}")


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
        NONCE.give(request, response, link.browser_nonce)
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
        NONCE.take_back(request, page)
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
        returned = complete_request(request.query_params, NONCE.of(request))
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


def counted_once(gate: OAuthGate, redirect_uri: str) -> Callable[[Request], Awaitable[None]]:
    """Return the gate of these routes, which lets whoever is only sent on to the other name pass uncounted."""

    async def ask(request: Request) -> None:
        if request.scope["path"] != CONNECT or not goes_by_another_name(request, redirect_uri):
            await gate(request)

    return ask


def goes_by_another_name(request: Request, redirect_uri: str) -> bool:
    """Return whether the browser calls this machine by another name than TikTok will, and so would lack its cookie.

    That is only said of loopback and of one port: elsewhere a proxy may have put its own name in the place of ours.
    """
    here, back = asked_for(request), urlsplit(redirect_uri)
    if back.scheme != "http" or not is_loopback(back) or not is_plain_loopback(request):
        return False
    return here.port == back.port and here.hostname != back.hostname
