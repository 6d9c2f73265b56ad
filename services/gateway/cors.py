"""Pages of other origins: those that are named may call, and a refusal says so as every refusal does."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from libs.errors import NotAllowed
from services.gateway.errors import error_response

REFUSED = "A page of this origin may not call so: see CORS_ORIGIN, and docs/http.md for methods and headers"


class Cors(CORSMiddleware):
    """Starlette's, without a hint for those it refuses: a browser goes by what is missing."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return what a browser needs before it asks, or 403 without a header of CORS."""
        answer = super().preflight_response(request_headers)
        if answer.status_code != HTTPStatus.BAD_REQUEST:
            return answer
        refused = error_response(NotAllowed(REFUSED))
        refused.headers["Vary"] = "Origin"
        return refused
