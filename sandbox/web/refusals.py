"""What no route can serve is refused in the words of the house it was sent to."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sandbox.web.answers import Answer, enveloped, flat_error
from sandbox.web.guard import RefusedError
from sandbox.web.shop_answers import shop_error

SHOP = ("/api/", "/authorization/", "/seller/", "/order/", "/product/", "/analytics/", "/event/")


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer a request that no route could take."""
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    response = _refusal(request.url.path, status)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


async def on_crash(request: Request, _error: Exception) -> Response:
    """Answer a request that broke the sandbox; what happened is in the log, without the exception's text."""
    return _refusal(request.url.path, HTTPStatus.INTERNAL_SERVER_ERROR)


def _refusal(path: str, status: int) -> Response:
    phrase = HTTPStatus(status).phrase
    if path.startswith("/sandbox/"):
        return RefusedError(
            status, phrase.upper().replace(" ", "_"), f"{phrase}. GET /sandbox/ lists all calls."
        ).answer
    if path.startswith(SHOP):
        return shop_error("internal").response()
    return _login_refusal(path, status, phrase).response()


def _login_refusal(path: str, status: int, phrase: str) -> Answer:
    broken = status == HTTPStatus.INTERNAL_SERVER_ERROR
    if path.startswith("/v2/") and not path.startswith(("/v2/oauth/", "/v2/auth/")):
        return enveloped(status, "internal_error" if broken else "invalid_params", f"{phrase}.")
    return flat_error(status, "server_error" if broken else "invalid_request", f"{phrase}.")
