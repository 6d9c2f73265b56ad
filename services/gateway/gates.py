"""Who may pass to which routes: limits first, then a key or a user's token."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import structlog
from fastapi import Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from libs.errors import InvalidField, NotAllowed
from libs.rpc.actor import bind_actor
from services.gateway.addresses import Network, address_of
from services.gateway.auth import AdminKey, Role, find_key
from services.gateway.errors import KeyMayOnlyRead, KeyRequired, TokenExpired, TokenRequired
from services.gateway.failures import FailureReport
from services.gateway.limits import Budget, BudgetSpent, Lockouts
from services.gateway.sessions import SESSION, Sessions, refuse_other_sites
from services.gateway.standing import keep_checking
from services.gateway.user_tokens import Users

HEADER = "X-API-KEY"
AUTHORIZATION = "Authorization"
# What people call a credential when they put it where it does not belong.
CREDENTIALS = frozenset(
    {"x-api-key", "x_api_key", "api-key", "api_key", "apikey", "key"}
    | {"access_token", "token", "jwt", "authorization", "bearer"}
)
SAFE_METHODS = frozenset({"GET", "HEAD"})
# What a browser writes into Sec-Fetch-Site, and lets no page change, when a page of somebody else asks.
OTHER_SITES = frozenset({"cross-site", "same-site"})
BEARER = re.compile(r"bearer +([\w.-]+)", re.ASCII | re.IGNORECASE)

# Read by the gates themselves, because two headers must be told from one; here for the API document.
documented_key = APIKeyHeader(name=HEADER, auto_error=False, scheme_name="ApiKey")
documented_token = HTTPBearer(auto_error=False, scheme_name="UserToken", bearerFormat="JWT")
documented_session = APIKeyCookie(
    name=f"__Host-{SESSION.name}",
    auto_error=False,
    scheme_name="Session",
    description=f"What /console gives a browser that signs in with a key; {SESSION.name} over http on this machine.",
)
DocumentedKey = Annotated[str | None, Security(documented_key)]
DocumentedSession = Annotated[str | None, Security(documented_session)]
DocumentedToken = Annotated[HTTPAuthorizationCredentials | None, Security(documented_token)]


async def spend(budget: Budget, address: str, request: Request) -> None:
    """Take the request from the address's budget; the answer's headers will tell what is left."""
    try:
        allowance = await budget.spend(address)
    except BudgetSpent as refused:
        request.state.answer_headers = refused.allowance.headers
        raise
    request.state.answer_headers = allowance.headers


@dataclass(frozen=True, kw_only=True)
class Door:
    """What stands before every route that asks who is there: lockouts, and a budget."""

    budget: Budget
    lockouts: Lockouts
    report: FailureReport
    trusted: Sequence[Network] = ()

    async def let_in(self, request: Request) -> None:
        """Raise LockedOut or RateLimited."""
        address = address_of(request, self.trusted)
        await self.lockouts.check(address)
        await spend(self.budget, address, request)

    async def count_failure(self, request: Request) -> None:
        """Count that whoever is there is not known, unless nothing was guessed; raise LockedOut for one too many."""
        if sent_by_another_page(request):
            return
        address = address_of(request, self.trusted)
        self.report.failed()
        if await self.lockouts.count_failure(address):
            self.report.blocked(address)


class AdminGate:
    """Lets who has a key, or has signed in with one, through to the operators' routes, or says why not."""

    def __init__(self, *, keys: Sequence[AdminKey], door: Door, sessions: Sessions) -> None:
        self._keys = keys
        self._door = door
        self._sessions = sessions

    async def __call__(self, request: Request, _key: DocumentedKey, _session: DocumentedSession) -> None:
        """Raise LockedOut, RateLimited, InvalidField, Unauthenticated or NotAllowed."""
        await self.let_in(request)
        await self.ask_for_key(request)

    async def let_in(self, request: Request) -> None:
        """Raise LockedOut or RateLimited."""
        await self._door.let_in(request)

    async def ask_for_key(self, request: Request) -> None:
        """Leave the key in the request's state.

        Raise InvalidField, Unauthenticated, LockedOut, NotAllowed or StorageUnavailable.
        """
        key = await self.identify(request)
        request.state.key = key
        structlog.contextvars.bind_contextvars(key=key.name)
        bind_actor(f"key/{key.name}")
        if key.role is Role.READ and request.method not in SAFE_METHODS:
            raise KeyMayOnlyRead("Insufficient permissions: this key may only read")

    async def identify(self, request: Request) -> AdminKey:
        """Return the key of the request or of its session; raise as ask_for_key does, but for what the key may do."""
        presented, token = presented_key(request), SESSION.of(request)
        if HEADER in request.headers or not token:
            return await self.recognise(request, presented)
        return await self._signed_in(request, token)

    async def recognise(self, request: Request, presented: str) -> AdminKey:
        """Return the key that was presented; raise Unauthenticated, counted when it was a guess, or LockedOut."""
        key = find_key(self._keys, presented)
        if key is None:
            await self._door.count_failure(request)
            raise KeyRequired("Missing or invalid API key")
        return key

    async def _signed_in(self, request: Request, token: str) -> AdminKey:
        if request.method not in SAFE_METHODS:
            refuse_other_sites(request)
        keep_checking(request, partial(self._key_of, token))
        return await self._key_of(token)

    async def _key_of(self, token: str) -> AdminKey:
        key = await self._sessions.key_of(token)
        if key is None:
            # Not counted: a session cannot be guessed, and a page left open asks on after its session has ended.
            raise KeyRequired("The session has ended: sign in again")
        return key


class UserGate:
    """Lets users through to what is theirs by the token of the application that signed them in."""

    def __init__(self, *, tokens: Users, door: Door) -> None:
        self._tokens = tokens
        self._door = door

    async def __call__(self, request: Request, _token: DocumentedToken) -> None:
        """Leave the user in the request's state; raise LockedOut, RateLimited, InvalidField or Unauthenticated."""
        await self._door.let_in(request)
        request.state.user = await self.ask_for_user(request)

    async def ask_for_user(self, request: Request) -> str:
        """Return who the token was made for; raise InvalidField, Unauthenticated or LockedOut."""
        token = presented_token(request)
        try:
            user = await self._tokens.user_of(token)
        except TokenExpired:
            raise
        except TokenRequired:
            await self._door.count_failure(request)
            raise
        keep_checking(request, partial(self._tokens.user_of, token))
        structlog.contextvars.bind_contextvars(user=user)
        bind_actor(f"user/{user}")
        return user


class CreatorGate:
    """Lets operators through by their key, and the user whom the request is about by a token."""

    def __init__(self, *, admin: AdminGate, users: UserGate, door: Door) -> None:
        self._admin = admin
        self._users = users
        self._door = door

    async def __call__(
        self, request: Request, _key: DocumentedKey, _session: DocumentedSession, _token: DocumentedToken
    ) -> None:
        """Raise LockedOut, RateLimited, InvalidField, Unauthenticated or NotAllowed."""
        await self._door.let_in(request)
        if AUTHORIZATION not in request.headers:
            await self._admin.ask_for_key(request)
        elif await self._users.ask_for_user(request) != named_user(request):
            raise NotAllowed("Users reach only what is theirs: user_id must be the sub of the token")


class OAuthGate:
    """Bounds how often an address may use the public OAuth routes."""

    def __init__(self, *, budget: Budget, trusted: Sequence[Network] = ()) -> None:
        self._budget = budget
        self._trusted = trusted

    async def __call__(self, request: Request) -> None:
        """Raise RateLimited."""
        await spend(self._budget, address_of(request, self._trusted), request)


def sent_by_another_page(request: Request) -> bool:
    """Return whether a page of another site made a browser ask without a credential, which guesses nothing."""
    presents = HEADER in request.headers or AUTHORIZATION in request.headers or bool(SESSION.of(request))
    return not presents and request.headers.get("sec-fetch-site") in OTHER_SITES


def presented_key(request: Request) -> str:
    """Return the key of the request, empty when it has none; raise InvalidField when it is not where it belongs."""
    refuse_in_address(request, "API key", HEADER)
    return only_one(request, HEADER)


def presented_token(request: Request) -> str:
    """Return the token of the request, empty when it has none; raise InvalidField when it is not where it belongs."""
    refuse_in_address(request, "token", AUTHORIZATION)
    if HEADER in request.headers and AUTHORIZATION in request.headers:
        raise InvalidField(AUTHORIZATION, f"must not be sent along with {HEADER}")
    found = BEARER.fullmatch(only_one(request, AUTHORIZATION))
    return found[1] if found else ""


def refuse_in_address(request: Request, what: str, header: str) -> None:
    """Raise InvalidField for a credential in the query, where logs and histories keep it."""
    if any(name.lower() in CREDENTIALS for name in request.query_params):
        raise InvalidField(what, f"must be sent in the {header} header, never in the address")


def only_one(request: Request, header: str) -> str:
    """Return the value of a header, empty when it was not sent; raise InvalidField when it was sent twice."""
    values = request.headers.getlist(header)
    if len(values) > 1:
        raise InvalidField(header, "must be sent once")
    return values[0] if values else ""


def named_user(request: Request) -> str | None:
    """Return the user whom a request is about, None when it names nobody or several."""
    in_path = request.path_params.get("user_id")
    named = [in_path] if in_path is not None else request.query_params.getlist("user_id")
    return named[0] if len(named) == 1 else None


def signed_in(request: Request) -> str:
    """Return the user whom UserGate let through."""
    return str(request.state.user)
