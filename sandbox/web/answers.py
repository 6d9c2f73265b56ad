"""The shapes of TikTok's answers: flat OAuth bodies, and the data/error envelope of the Display API."""

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from sandbox.settings import Switches

Json = dict[str, Any]

OAUTH_STATUS = {"invalid_client": 401, "unauthorized_client": 401, "server_error": 500, "temporarily_unavailable": 503}
DISPLAY_ERRORS = {
    "access_token_invalid": (401, "The access token is invalid or not found in the request."),
    "scope_not_authorized": (401, "The user did not authorize the scope required for completing this request."),
    "scope_permission_missed": (400, "Some of the requested fields need additional scopes."),
    "invalid_params": (400, "One or more fields in the request are invalid."),
    "rate_limit_exceeded": (429, "The API rate limit was exceeded. Please try again later."),
    "internal_error": (500, "Something went wrong on our side. Please try again later."),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is ready to be sent; `outcome` is its word in the ledger."""

    status: int
    body: Json | str
    outcome: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)
    media: str = "text/html; charset=utf-8"

    def response(self) -> Response:
        """Return it as HTTP."""
        if isinstance(self.body, str):
            return Response(self.body, self.status, self.headers, self.media)
        headers = {"x-tt-logid": new_log_id(), **self.headers}
        return Response(_json(self.body), self.status, headers, "application/json")


def new_log_id() -> str:
    """Return a log_id in TikTok's form: 14 digits of time, then hexadecimal; real time, for people who grep logs."""
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}{secrets.token_hex(10).upper()}"


def oauth_ok(body: Json) -> Answer:
    """Return a flat success."""
    return Answer(200, body, headers={"Cache-Control": "no-store"})


def oauth_error(switches: Switches, error: str, description: str) -> Answer:
    """Return a flat OAuth error, with HTTP 200 unless switched."""
    status = 200 if switches.oauth_error_status == "200" else OAUTH_STATUS.get(error, 400)
    return flat_error(status, error, description)


def flat_error(status: int, error: str, description: str) -> Answer:
    """Return a flat OAuth error with this status."""
    body = {"error": error, "error_description": description, "log_id": new_log_id()}
    return Answer(status, body, error, {"Cache-Control": "no-store"})


def display_ok(data: Json) -> Answer:
    """Return data in the envelope; the error object is there on success too."""
    return Answer(200, {"data": data, "error": {"code": "ok", "message": "", "log_id": new_log_id()}})


def enveloped(status: int, code: str, message: str) -> Answer:
    """Return an error in the envelope with this status."""
    error = {"code": code, "message": message, "log_id": new_log_id()}
    return Answer(status, {"data": {}, "error": error}, code)


def display_error(switches: Switches, code: str, message: str = "") -> Answer:
    """Return an error in the envelope, with the status of TikTok's table unless switched to 200."""
    status, usual = DISPLAY_ERRORS[code]
    if switches.display_error_status == "200":
        status = 200
    return enveloped(status, code, message or usual)


def _json(body: Json) -> bytes:
    """Return JSON with all that a scripted fault may put in: NaN, numbers of any size, half a surrogate pair."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":")).encode()
