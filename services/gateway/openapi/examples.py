"""Schemas are read off examples, so that the two cannot differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Json = dict[str, Any]

TYPES: Mapping[type, str] = MappingProxyType({bool: "boolean", int: "integer", float: "number", str: "string"})


@dataclass(frozen=True)
class Maybe:
    """A value that may be null."""

    example: Any


@dataclass(frozen=True)
class Perhaps:
    """A member that may be missing."""

    example: Any


def example_of(value: Any) -> Any:
    """Return the example as JSON."""
    match value:
        case Maybe() | Perhaps():
            return example_of(value.example)
        case dict():
            return {name: example_of(member) for name, member in value.items()}
        case list():
            return [example_of(one) for one in value]
        case _:
            return value


def schema_of(value: Any) -> Json:
    """Return the schema of everything that looks like the example; lists are of things like their first."""
    match value:
        case Maybe():
            return {"anyOf": [schema_of(value.example), {"type": "null"}]}
        case Perhaps():
            return schema_of(value.example)
        case dict():
            required = [name for name, member in value.items() if not isinstance(member, Perhaps)]
            members = {name: schema_of(member) for name, member in value.items()}
            return {"type": "object", "properties": members, "required": required}
        case list():
            return {"type": "array", "items": schema_of(value[0])}
        case float():
            return {"type": "number"}
        case _:
            return {"type": TYPES[type(value)]}
