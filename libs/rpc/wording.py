"""Says in a person's words which rule of its proto a request breaks."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.message import Message
from protovalidate import Violation

ROW = re.compile(r"\^\[(?P<signs>[^]]+)]\{(?P<least>\d+),(?P<most>\d+)}\$")
SIGNS: Mapping[str, str] = MappingProxyType(
    {
        "A-Za-z0-9_-": "letters, digits, _ and -",
        "!-~": "printable ASCII characters without spaces",
        " -~": "printable ASCII characters",
        "0-9": "digits",
    }
)


def field_of(violation: Violation) -> str:
    """Return the path of the field, or what stands for the whole."""
    return ".".join(path_of(violation)) or "request"


def description_of(request: Message, violation: Violation) -> str:
    """Return what is wrong with the field, worded to follow its path."""
    rule, path = violation.proto.rule_id, path_of(violation)
    choices = choices_at(request, path) if rule == "required" or rule.startswith("enum.") else []
    if choices:
        return f"must be one of {', '.join(choices)}"
    if rule == "required" or (rule == "string.pattern" and not violation.field_value):
        return "is required"
    return pattern_text(str(violation.rule_value)) if rule == "string.pattern" else str(violation.proto.message)


def pattern_text(pattern: str) -> str:
    """Return what a text must be; the pattern itself when it is no plain row of signs."""
    row = ROW.fullmatch(pattern)
    if row is None or row["signs"] not in SIGNS:
        return f"must match {pattern}"
    return f"must be {row['least']}-{row['most']} {SIGNS[row['signs']]}"


def path_of(violation: Violation) -> list[str]:
    """Return the names on the path to the field."""
    return [element.field_name for element in violation.proto.field.elements] if violation.proto.field else []


def choices_at(request: Message, path: list[str]) -> list[str]:
    """Return what an enum may say, or the fields of which one has to be there; nothing for other fields."""
    kind = request.DESCRIPTOR
    for name in path[:-1]:
        inner = kind.fields_by_name[name].message_type
        if inner is None:
            return []
        kind = inner
    if path[-1] in kind.oneofs_by_name:
        return [field.name for field in kind.oneofs_by_name[path[-1]].fields]
    enum = kind.fields_by_name[path[-1]].enum_type
    return [value.name for value in enum.values if value.number] if enum else []
