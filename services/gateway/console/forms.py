"""What forms send: fields by name, each once."""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import ValidationError

from libs.errors import InvalidField
from services.gateway.bodies import Body
from services.gateway.errors import invalid_field

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 20

Model = TypeVar("Model", bound=Body)


def is_form(request: Request) -> bool:
    """Return whether a page without scripts asks."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def fields_of(request: Request) -> Mapping[str, str]:
    """Return the fields of a form; raise InvalidField for one that is there twice, and for what is no form."""
    if not is_form(request):
        raise InvalidField("form", f"must be sent as {FORM}")
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidField("form", "cannot be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidField("form", "must send every field once")
    return fields


async def field(request: Request, name: str) -> str:
    """Return a field of a form; raise InvalidField when it is not there."""
    fields = await fields_of(request)
    if name not in fields:
        raise InvalidField(name, "must be sent once")
    return fields[name]


def read_form(model: type[Model], fields: Mapping[str, str]) -> Model:
    """Return the fields as their model; raise InvalidField in the words that routes use for JSON."""
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        raise invalid_field(error.errors(include_url=False, include_input=False)[0]) from None
