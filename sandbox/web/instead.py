"""What is answered when a fault strikes before the work is done."""

from dataclasses import replace

from sandbox.fault_kinds import (
    AccessTokenInvalid,
    ErrorAnswer,
    Fault,
    GzipBomb,
    Html,
    Huge,
    OAuthError,
    PlainStatus,
    Redirect,
    Reset,
    StatusFault,
)
from sandbox.settings import Switches
from sandbox.web.answers import DISPLAY_ERRORS, OAUTH_STATUS, Answer, display_error, enveloped, flat_error, oauth_error
from sandbox.web.shop_answers import SHOP_ERRORS, coded_error, shop_error

SCRIPTED = "This answer was scripted."
# By status: the word of the token endpoint, of the Display API and the name of the Shop's own error.
WORDS = {
    401: ("invalid_client", "access_token_invalid", "expired"),
    429: ("rate_limit_exceeded", "rate_limit_exceeded", "rate_limit"),
    503: ("temporarily_unavailable", "internal_error", "internal"),
}
USUAL = ("server_error", "internal_error", "internal")


def instead(switches: Switches, endpoint: str, fault: Fault) -> Answer | None:
    """Return what is answered instead of working, or None when the work is done."""
    answer: Answer | None = None
    match fault:
        case PlainStatus():
            answer = _status(switches, endpoint, int(fault.kind))
        case StatusFault():
            answer = _status(switches, endpoint, fault.status)
            if fault.retry_after is not None:
                answer.headers["Retry-After"] = str(fault.retry_after)
        case Html():
            answer = Answer(fault.status, _page(fault.status), media=fault.content_type)
        case ErrorAnswer():
            answer = _error(switches, endpoint, fault)
        case AccessTokenInvalid():
            answer = display_error(switches, "access_token_invalid")
        case OAuthError():
            answer = oauth_error(switches, fault.error, SCRIPTED)
        case Redirect():
            answer = Answer(fault.status, "", headers={"Location": fault.to})
        case Huge(when="before") | GzipBomb(when="before") | Reset(when="before"):
            answer = Answer(200, "")
    return answer


def _status(switches: Switches, endpoint: str, status: int) -> Answer:
    flat, word, name = WORDS.get(status, USUAL)
    if endpoint in ("shop_token", "shops"):
        return replace(shop_error(name), status=status)
    if endpoint in ("token", "revoke"):
        return flat_error(status, flat, SCRIPTED)
    return replace(display_error(switches, word), status=status)


def _error(switches: Switches, endpoint: str, fault: ErrorAnswer) -> Answer:
    if endpoint in ("shop_token", "shops"):
        answer = _shop_error(fault)
    elif endpoint in ("token", "revoke"):
        answer = flat_error(OAUTH_STATUS.get(str(fault.code), 400), str(fault.code), fault.message or SCRIPTED)
    elif fault.code in DISPLAY_ERRORS:
        answer = display_error(switches, str(fault.code), fault.message)
    else:
        answer = enveloped(400, str(fault.code), fault.message or SCRIPTED)
    return answer if fault.status == "native" else replace(answer, status=fault.status)


def _shop_error(fault: ErrorAnswer) -> Answer:
    known = next((error for error in SHOP_ERRORS.values() if error.code == fault.code), None)
    message = fault.message or (known.message if known else SCRIPTED)
    answer = coded_error(known.status if known else 400, 0, message)
    return replace(answer, body={**_object(answer), "code": fault.code}, outcome=str(fault.code))


def _object(answer: Answer) -> dict[str, object]:
    return answer.body if isinstance(answer.body, dict) else {}


def _page(status: int) -> str:
    title = "502 Bad Gateway" if status == 502 else f"{status} Please verify that you are human"
    return f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
