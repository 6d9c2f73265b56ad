"""The one table from reasons to HTTP, and the one handler that answers with it."""

import json
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from libs.errors import Internal, InvalidField, NotAllowed, Reason, TokhubError, TryLater, Unauthenticated
from libs.rpc.request_id import current_request_id
from services.gateway.rules import RULES

STATUSES: Mapping[Reason, int] = MappingProxyType(
    {
        Reason.INVALID_FIELD: 400,
        Reason.STATE_INVALID: 400,
        Reason.STATE_EXPIRED: 400,
        Reason.STATE_REUSED: 400,
        Reason.AUTHORIZATION_DENIED: 400,
        Reason.UNAUTHENTICATED: 401,
        Reason.NOT_ALLOWED: 403,
        Reason.SCOPE_MISSING: 403,
        Reason.STORE_NOT_FOUND: 404,
        Reason.CONNECTION_NOT_FOUND: 404,
        Reason.RUN_NOT_FOUND: 404,
        Reason.STORE_EXISTS: 409,
        Reason.ACCOUNT_ALREADY_CONNECTED: 409,
        Reason.RUN_ALREADY_ACTIVE: 409,
        Reason.SHOP_CHOICE_REQUIRED: 409,
        Reason.REAUTH_REQUIRED: 409,
        Reason.LOST_RESPONSE: 409,
        Reason.KEY_NOT_READY: 409,
        Reason.RATE_LIMITED: 429,
        Reason.LOCKED_OUT: 429,
        Reason.UPSTREAM_RATE_LIMITED: 429,
        Reason.INTERNAL: 500,
        Reason.SERVER_MISCONFIG: 500,
        Reason.UPSTREAM_BAD_RESPONSE: 502,
        Reason.UPSTREAM_RESPONSE_TOO_LARGE: 502,
        Reason.UPSTREAM_CURSOR_LOOP: 502,
        Reason.UPSTREAM_UNAVAILABLE: 503,
        Reason.STORAGE_UNAVAILABLE: 503,
        Reason.REFRESH_IN_PROGRESS: 503,
        Reason.DEADLINE_EXCEEDED: 504,
    }
)

# Reasons that HTTP calls by another word; the rest keep their own.
WORDS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.INVALID_FIELD: "INVALID_REQUEST",
        Reason.UNAUTHENTICATED: "UNAUTHORIZED",
        Reason.NOT_ALLOWED: "FORBIDDEN",
        Reason.RATE_LIMITED: "RATE_LIMIT_EXCEEDED",
        Reason.INTERNAL: "INTERNAL_ERROR",
    }
)

# Metadata of an error that programs get beside its code and message: its name in JSON, and what makes JSON of it.
SHOWN_METADATA: Mapping[str, tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {"run_id": ("runId", str), "shops": ("shops", json.loads)}
)

FRAMEWORK_MESSAGES: Mapping[int, str] = MappingProxyType(
    {
        404: "No such path",
        405: "This path does not take that method: see the Allow header",
        413: "The request body is larger than 64 KiB",
        415: "The request body must be application/json",
    }
)


class RequestRefused(HTTPException):
    """The request was refused before it could mean anything."""

    def __init__(self, status: int) -> None:
        super().__init__(status_code=status, detail=FRAMEWORK_MESSAGES[status])


class KeyRequired(Unauthenticated):
    """Missing or invalid API key."""


class KeyMayOnlyRead(NotAllowed):
    """Insufficient permissions: this key may only read."""


class TokenRequired(Unauthenticated):
    """Missing or invalid token: sign in again."""


class TokenExpired(TokenRequired):
    """Missing or invalid token: sign in again."""


class SyncFailed(TokhubError):
    """The run could not be carried out: see the sync logs."""


CHALLENGES: Mapping[type[TokhubError], str] = MappingProxyType(
    {KeyRequired: "ApiKey", TokenRequired: "Bearer", TokenExpired: "Bearer"}
)


def word(error: TokhubError) -> str:
    """Return the error's code over HTTP."""
    return "SYNC_FAILED" if isinstance(error, SyncFailed) else WORDS.get(error.reason, error.reason.value)


def error_body(code: str, message: str, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the body of every error answer; messages end without a full stop over HTTP."""
    return {
        "success": False,
        "error": {"code": code, "message": message.removesuffix("."), **(extra or {})},
        "requestId": current_request_id(),
    }


def retry_headers(error: TokhubError) -> dict[str, str]:
    """Return Retry-After in whole seconds for errors that pass by themselves, or the challenge of what is missing."""
    if isinstance(error, TryLater):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    challenge = CHALLENGES.get(type(error))
    return {"WWW-Authenticate": challenge} if challenge else {}


def error_response(error: TokhubError, status: int | None = None) -> JSONResponse:
    """Return the JSON answer for a typed error, with its usual status when none is given."""
    shown = {name: read(error.metadata[key]) for key, (name, read) in SHOWN_METADATA.items() if key in error.metadata}
    body = error_body(word(error), error.message, shown)
    return JSONResponse(body, status or STATUSES[error.reason], retry_headers(error))


def refusal_response(refused: HTTPException) -> JSONResponse:
    """Return the JSON answer for what the framework refuses: a path, a method, a body."""
    status = refused.status_code
    code = "NOT_FOUND" if status == HTTPStatus.NOT_FOUND else "INVALID_REQUEST"
    message = FRAMEWORK_MESSAGES.get(status, "The request cannot be understood")
    return JSONResponse(error_body(code, message), status, dict(refused.headers or {}))


def invalid_field(error: Mapping[str, Any]) -> InvalidField:
    """Return the typed error for one of pydantic's; the words are the field's rule, never the value sent."""
    path = [part for part in error["loc"] if isinstance(part, str) and part not in {"query", "path", "body"}]
    field = path[-1][:50] if path else "request"
    if error["type"] == "extra_forbidden":
        return InvalidField(field, "is not a field of this request")
    return InvalidField(field, RULES.get(field, "is not valid"))


def typed(error: Exception) -> TokhubError:
    """Return what went wrong as a typed error; what nobody foresaw becomes Internal."""
    if isinstance(error, TokhubError):
        return error
    if isinstance(error, RequestValidationError):
        return invalid_field(error.errors()[0])
    return Internal()
