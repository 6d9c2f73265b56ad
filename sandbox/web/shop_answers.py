"""The shapes of TikTok Shop's answers: a code, zero when all is well, a message and data."""

from dataclasses import dataclass

from sandbox.web.answers import Answer, Json, new_log_id

SIGN_IS = "Invalid credentials. The `sign` query parameter is invalid."
TOO_EARLY = "Invalid timestamp. The `timestamp` must not be earlier than 5 minutes before the current time."
TOO_LATE = "Invalid timestamp. The `timestamp` must not exceed the current time by more than 30 seconds."
NOT_FOUND_TEXT = "404 page not found"


@dataclass(frozen=True, slots=True)
class ShopError:
    """A refusal as TikTok Shop words it, with the HTTP status it comes with."""

    code: int
    status: int
    message: str


SHOP_ERRORS = {
    "auth_code": ShopError(36004004, 200, "invalid auth code"),
    "auth_record": ShopError(36004005, 200, "can not find related auth record"),
    "ip_allow_list": ShopError(
        36009033, 200, "Access denied. Your IP address is not in the IP allow list configured for this app."
    ),
    "expired": ShopError(
        105002,
        401,
        "Expired credentials. The `access_token` or `x-tts-access-token` header has expired.",
    ),
    "token": ShopError(36009004, 400, "Invalid credentials. The `x-tts-access-token` header is invalid."),
    "user_type": ShopError(
        101000,
        400,
        "Invalid query or header. The `category_asset_cipher` query parameter or `x-tts-access-token` header is "
        "invalid.",
    ),
    "scope": ShopError(
        105005,
        403,
        "Access denied. The app is not authorized to access the endpoint because the access scopes granted do not "
        "include it.",
    ),
    "sign": ShopError(106001, 401, SIGN_IS),
    "no_sign": ShopError(
        36009004, 400, "Missing credentials. The request does not include a required signature in the query."
    ),
    "app_key": ShopError(36009004, 400, "Invalid credentials. Invalid `app_key` query parameter."),
    "too_early": ShopError(36009004, 400, TOO_EARLY),
    "too_late": ShopError(36009004, 400, TOO_LATE),
    "timestamp": ShopError(36009004, 400, "Invalid timestamp. The `timestamp` must not be lesser than 0."),
    "unexpected": ShopError(
        36009004, 400, "Unexpected identifier. The `shop_cipher` query parameter is not required for this request."
    ),
    "rate_limit": ShopError(
        36009002, 429, "Too many requests. You've made too many requests in a short period of time."
    ),
    "internal": ShopError(36009003, 500, "Internal error. Please try again."),
    "timeout": ShopError(36009007, 408, "Request timeout. The request to the endpoint timed out."),
    "path": ShopError(36009009, 404, "Invalid path. The specified path does not match any available endpoint."),
    "method": ShopError(36009010, 405, "Invalid method. The HTTP method used is not supported by this endpoint."),
}


def shop_ok(data: Json, message: str = "Success") -> Answer:
    """Return a success."""
    return Answer(200, {"code": 0, "message": message, "request_id": new_log_id(), "data": data})


def shop_error(name: str) -> Answer:
    """Return a refusal by its name here; its outcome in the ledger is its code."""
    error = SHOP_ERRORS[name]
    return coded_error(error.status, error.code, error.message)


def parameter_error(name: str, reason: str) -> Answer:
    """Return what the token host says of a parameter that does not fit."""
    return coded_error(200, 98001004, f"Parameter {name} is invalid. Reason: {reason}.")


def coded_error(status: int, code: int, message: str) -> Answer:
    """Return a refusal with this code."""
    return Answer(status, {"code": code, "message": message, "request_id": new_log_id(), "data": None}, str(code))


def page_not_found() -> Answer:
    """Return what the token host says of anything it does not serve."""
    return Answer(404, NOT_FOUND_TEXT, "not_found", media="text/plain; charset=utf-8")
