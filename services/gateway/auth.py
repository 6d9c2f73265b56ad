"""Who may use the operators' routes: a key in X-API-KEY, compared without telling how close a wrong one was."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import structlog
from fastapi import Request, Security
from fastapi.security import APIKeyHeader

from libs.errors import InvalidField, NotAllowed
from services.gateway.addresses import Network, address_of
from services.gateway.errors import KeyRequired
from services.gateway.limits import Budget, BudgetSpent, Lockouts

HEADER = "X-API-KEY"
MIN_KEY_LENGTH = 32
KEY_PARAMETERS = frozenset({"x-api-key", "x_api_key", "api-key", "api_key", "apikey"})
SAFE_METHODS = frozenset({"GET", "HEAD"})
NAMED_KEY = "name:role:key"

# Read by the gate itself, because two headers must be told from one; here for the API document.
documented_key = APIKeyHeader(name=HEADER, auto_error=False, scheme_name="ApiKey")


class Role(StrEnum):
    """What a key may do."""

    ADMIN = "admin"
    READ = "read"


@dataclass(frozen=True, kw_only=True)
class AdminKey:
    """A key by its name and SHA-256; the key itself is not kept."""

    name: str
    role: Role
    digest: bytes


class WrongKey(ValueError):
    """A key in the settings cannot be used; the text never repeats it."""


def digest(key: str) -> bytes:
    """Return the SHA-256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def admin_key(name: str, role: str, key: str) -> AdminKey:
    """Return a key from its parts, or raise WrongKey."""
    if not name.isidentifier() and not name.replace("-", "_").isidentifier():
        raise WrongKey(f"a key needs a name of letters, digits, _ and -: {NAMED_KEY}")
    if role not in set(Role):
        raise WrongKey(f"the role of key {name} must be admin or read")
    if len(key) < MIN_KEY_LENGTH:
        raise WrongKey(f"key {name} must have at least {MIN_KEY_LENGTH} characters")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise WrongKey(f"key {name} must be printable ASCII without spaces")
    return AdminKey(name=name, role=Role(role), digest=digest(key))


def parse_keys(text: str) -> tuple[AdminKey, ...]:
    """Return the keys of "name:role:key,…", or raise WrongKey."""
    entries = [entry.strip().split(":", 2) for entry in text.split(",") if entry.strip()]
    if any(len(entry) != len(NAMED_KEY.split(":")) for entry in entries):
        raise WrongKey(f"every key must be {NAMED_KEY}")
    keys = tuple(admin_key(*entry) for entry in entries)
    if len({key.name for key in keys}) < len(keys):
        raise WrongKey("two keys have the same name")
    if len({key.digest for key in keys}) < len(keys):
        raise WrongKey("two keys are the same")
    return keys


def find_key(keys: Sequence[AdminKey], presented: str) -> AdminKey | None:
    """Return the key that was presented; the time it takes does not depend on which one, or on how close it was."""
    offered = digest(presented)
    found = [key for key in keys if hmac.compare_digest(key.digest, offered)]
    return found[0] if found else None


async def spend(budget: Budget, address: str, request: Request) -> None:
    """Take the request from the address's budget; the answer's headers will tell what is left."""
    try:
        allowance = await budget.spend(address)
    except BudgetSpent as refused:
        request.state.answer_headers = refused.allowance.headers
        raise
    request.state.answer_headers = allowance.headers


class AdminGate:
    """Lets a request through to the operators' routes, or says why not."""

    def __init__(
        self, *, keys: Sequence[AdminKey], budget: Budget, lockouts: Lockouts, trusted: Sequence[Network] = ()
    ) -> None:
        self._keys = keys
        self._budget = budget
        self._lockouts = lockouts
        self._trusted = trusted

    async def __call__(self, request: Request, _key: Annotated[str | None, Security(documented_key)]) -> None:
        """Raise LockedOut, RateLimited, InvalidField, Unauthenticated or NotAllowed."""
        address = address_of(request, self._trusted)
        await self._lockouts.check(address)
        await spend(self._budget, address, request)
        key = find_key(self._keys, presented_key(request))
        if key is None:
            await self._lockouts.count_failure(address)
            raise KeyRequired("Missing or invalid API key")
        structlog.contextvars.bind_contextvars(key=key.name)
        if key.role is Role.READ and request.method not in SAFE_METHODS:
            raise NotAllowed("Insufficient permissions: this key may only read")


class OAuthGate:
    """Bounds how often an address may use the public OAuth routes."""

    def __init__(self, *, budget: Budget, trusted: Sequence[Network] = ()) -> None:
        self._budget = budget
        self._trusted = trusted

    async def __call__(self, request: Request) -> None:
        """Raise RateLimited."""
        await spend(self._budget, address_of(request, self._trusted), request)


def presented_key(request: Request) -> str:
    """Return the key of the request, empty when it has none; raise InvalidField when it is not where it belongs."""
    if any(name.lower() in KEY_PARAMETERS for name in request.query_params):
        raise InvalidField("API key", f"must be sent in the {HEADER} header, never in the address")
    presented = request.headers.getlist(HEADER)
    if len(presented) > 1:
        raise InvalidField(HEADER, "must be sent once")
    return presented[0] if presented else ""
