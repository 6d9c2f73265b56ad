"""Request bodies: bounded in size, JSON without tricks, and nothing in them that the model does not name."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.errors import InvalidField
from services.gateway.errors import RequestRefused, invalid_field, refusal_response

MAX_BODY_BYTES = 64 * 1024

Model = TypeVar("Model", bound="Body")


class Body(BaseModel):
    """Base of request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class BodyLimit:
    """Answers 413 to a body that is, or turns out to be, larger than MAX_BODY_BYTES."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse by the announced length, then by the counted one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
            await refusal_response(RequestRefused(413))(scope, receive, send)
            return
        await self._app(scope, counted(receive), send)


def counted(receive: Receive) -> Receive:
    """Return a receive that refuses once more than MAX_BODY_BYTES have come."""
    total = 0

    async def receive_counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BODY_BYTES:
            raise RequestRefused(413)
        return message

    return receive_counted


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which JSON does not have."""
    raise ValueError(name)


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object, unless a key stands in it twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def parse_json(body: bytes) -> Any:
    """Return the value of strict UTF-8 JSON, or raise InvalidField."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=once_each, parse_constant=refuse_constant)
        # Half a surrogate pair is JSON, but no text: nothing behind this can store or repeat it.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise InvalidField("request body", "must be valid JSON: UTF-8, each key once, no NaN") from None
    return value


def read_as(model: type[Model], body: bytes) -> Model:
    """Return the body as its model; an empty body is an empty object."""
    value = parse_json(body) if body else {}
    if not isinstance(value, dict):
        raise InvalidField("request body", "must be a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid_field(error.errors(include_url=False, include_input=False)[0]) from None


def is_json(content_type: str) -> bool:
    """Return whether a Content-Type is JSON in UTF-8, the only encoding JSON has."""
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [
        value.strip('"') for name, _, value in (part.partition("=") for part in parameters) if name == "charset"
    ]
    return media_type == "application/json" and all(charset in {"utf-8", "utf8"} for charset in charsets)


def json_body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """Return a dependency that reads the body as the model."""

    async def read(request: Request) -> Model:
        body = await request.body()
        if body and not is_json(request.headers.get("content-type", "")):
            raise RequestRefused(415)
        return read_as(model, body)

    return read


def documented(model: type[Body], *, required: bool) -> dict[str, Any]:
    """Return what OpenAPI says about a body."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": required, "content": content}}
