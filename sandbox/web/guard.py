"""What every control route shares: open to this machine only, bodies checked, refusals worded alike."""

import json
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.world import World

Handler = Callable[[Request], Awaitable[Response]]
MOST_PER_PAGE = 10_000
MOST_SAID = 500  # characters


class RefusedError(Exception):
    """The control call does not fit; answered with this status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = JSONResponse({"error": {"code": code, "message": message}}, status)


class ControlBody(BaseModel):
    """A body that has no field but those it names."""

    model_config = ConfigDict(extra="forbid")


Body = TypeVar("Body", bound=ControlBody)


class ControlRoute(NamedTuple):
    """One control call and what it is for, in a few words."""

    method: str
    path: str
    handler: Handler
    what: str


def guarded(handler: Handler) -> Handler:
    """Return the handler, closed to peers that are not this machine, its refusals turned into answers."""

    async def serve(request: Request) -> Response:
        if not _is_loopback(request):
            return RefusedError(403, "FORBIDDEN", "The control API answers to this machine only.").answer
        try:
            return await handler(request)
        except RefusedError as refused:
            return refused.answer

    return serve


def _is_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False


async def read_json(request: Request) -> Any:
    """Return the body; RefusedError if it is not JSON."""
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise RefusedError(400, "INVALID", "The body is not JSON.") from None


async def read_plain_json(request: Request) -> Any:
    """Return the body; RefusedError if it is not JSON, or holds half a surrogate pair, which no answer could repeat."""
    value = await read_json(request)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RefusedError(400, "INVALID", "The body holds half a surrogate pair.") from None
    return value


async def parse(request: Request, model: type[Body]) -> Body:
    """Return the body as this model, an empty one with its defaults; RefusedError names what does not fit."""
    value = await read_plain_json(request) if await request.body() else {}
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise misfit(error) from None


def misfit(error: ValidationError) -> RefusedError:
    """Return a refusal that names the first field that does not fit, and not its value."""
    first = error.errors(include_url=False, include_input=False)[0]
    message = f"{'.'.join(str(part) for part in first['loc']) or 'body'}: {first['msg']}"
    # A kind that does not exist is repeated in it.
    return RefusedError(400, "INVALID", message[:MOST_SAID])


def number(request: Request, name: str, default: int) -> int:
    """Return a whole number of the query; RefusedError if it is none."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise RefusedError(400, "INVALID", f"{name} must be a whole number.")
    return int(text) if name != "limit" else min(int(text), MOST_PER_PAGE)


def open_id_of(world: World, name: str) -> str:
    """Return the open_id of an account, seller or creator; RefusedError if there is none of this name."""
    found = world.accounts.find(name) or world.sellers.find(name)
    if found is None:
        raise RefusedError(404, "NOT_FOUND", "No account or seller has this open_id or username.")
    return found.open_id
