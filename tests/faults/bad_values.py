"""Bad input for every field of every request, made from the descriptors: nobody has to remember a new field."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

# Stands in every bad text, and nowhere else.
MARK = "zqxjk"
MEBIBYTE = 1 << 20
MANY = 100_000
INT32, INT64 = 1 << 31, 1 << 63
# What protobuf refuses to write is put in afterwards, in the place of something as long.
STAND_IN, HALF_A_SURROGATE = b"\x01\x02\x03", b"\xed\xa0\x80"
PLAIN_NESTED = ("google.protobuf.Duration", "google.protobuf.FieldMask")


class Kind(Enum):
    """What is wrong with a value."""

    SIZE = "size"
    TEXT = "text"
    STATEMENT = "statement"
    PATH = "path"
    NUMBER = "number"


@dataclass(frozen=True)
class Value:
    """A value and what it is called; refused says that no field may take it."""

    name: str
    content: Any
    refused: bool = False


def forged(*parts: object) -> str:
    """Return a page token of the sync service that it never made."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


TEXTS: Mapping[Kind, Iterable[Value]] = {
    Kind.SIZE: [
        # Below what bounds whole requests.
        Value("50 KiB", MARK + "a" * (50 << 10), refused=True),
        Value("1 MiB", MARK + "a" * MEBIBYTE, refused=True),
    ],
    Kind.TEXT: [
        Value("NUL", f"{MARK}\0{MARK}", refused=True),
        Value("half a surrogate", MARK + STAND_IN.decode(), refused=True),
        Value("from right to left", f"{MARK}\u202egnp.exe"),
        Value("without width", f"{MARK}\u200b\u2060\ufeff"),
        Value("composed", f"{MARK}\u00e9"),
        Value("decomposed", f"{MARK}e\u0301"),
        Value("emoji", f"{MARK}\U0001f468\u200d\U0001f469\u200d\U0001f467"),
        Value("foreign digits", "\u0661\u0662\u0663"),
        Value("control characters", f"{MARK}\r\nX-Evil: 1\x1b[2J"),
    ],
    Kind.STATEMENT: [
        Value("a quote", f"{MARK}'"),
        Value("a second statement", f"{MARK}'); DROP TABLE credentials.connections CASCADE; --"),
        Value("always true", f"{MARK}'OR'1'='1"),
        Value("a pause", f"{MARK}'||pg_sleep(30)||'"),
        Value("a union", f"{MARK}' UNION SELECT access_token FROM credentials.connections --"),
        Value("dollars", f"$${MARK}$$; SELECT 1"),
        Value("a backslash", f"{MARK}\\"),
        Value("patterns", f"%{MARK}_%"),
        Value("a format", f"{MARK}{{0.__class__}}%s%n"),
    ],
    Kind.PATH: [
        Value("upwards", f"../../{MARK}"),
        Value("upwards, quoted", f"%2e%2e%2f{MARK}"),
        Value("absolute", f"/etc/{MARK}"),
        Value("of a share", f"\\\\host\\{MARK}"),
        Value("a file", f"file:///etc/{MARK}"),
    ],
    Kind.NUMBER: [],
}
# Of fields that are named so, beside the others.
NAMED: Mapping[str, Mapping[Kind, Iterable[Value]]] = {
    "page_token": {
        Kind.TEXT: [
            Value(f"forged: {kind} of {what}", forged(kind, *values))
            for kind, count in (("stores", 1), ("growth", 1), ("runs", 2), ("videos", 2))
            for what, values in (
                ("NUL", ("2026-01-01", "\0")[-count:]),
                ("half a surrogate", ("2026-01-01", "\ud800")[-count:]),
                ("the first day", ("0001-01-01T00:00:00+14:00", "00000000-0000-0000-0000-000000000000")[-count:]),
                ("the last day", ("9999-12-31T23:59:59-14:00", "00000000-0000-0000-0000-000000000000")[-count:]),
                ("a number", ("2026-01-01", 1)[-count:]),
            )
        ],
        Kind.NUMBER: [Value("2^63", str(INT64)), Value("-1", "-1"), Value("a fraction", "1.5")],
    },
    **{
        name: {
            Kind.NUMBER: [
                Value("year 0", "0000-01-01"),
                Value("the first day", "0001-01-01"),
                Value("the last day", "9999-12-31"),
                Value("no such day", "2026-02-30"),
                Value("no such month", "2026-13-01"),
                Value("inverted", {"from_date": "2026-10-02", "to_date": "0001-01-02"}[name]),
            ]
        }
        for name in ("from_date", "to_date")
    },
}
NUMBERS: Mapping[int, Iterable[Value]] = {
    FieldDescriptor.CPPTYPE_INT32: [Value(f"{value}", value) for value in (-1, 0, 1, INT32 - 1, -INT32)],
    FieldDescriptor.CPPTYPE_INT64: [Value(f"{value}", value) for value in (-1, 0, 1, INT32, INT64 - 1, -INT64)],
    FieldDescriptor.CPPTYPE_ENUM: [Value(f"{value}", value, refused=True) for value in (-1, 99, INT32 - 1)],
}


@dataclass(frozen=True)
class Place:
    """A field of a request, by the fields that lead to it."""

    fields: tuple[FieldDescriptor, ...]

    @property
    def field(self) -> FieldDescriptor:
        """The field itself."""
        return self.fields[-1]

    def __str__(self) -> str:
        return ".".join(field.name for field in self.fields)


@dataclass(frozen=True)
class Spoiled:
    """A place and what is wrong there."""

    place: Place
    value: Value

    def within(self, request: Message) -> bytes:
        """Return a good request on the wire, spoiled."""
        spoiled = type(request)()
        spoiled.CopyFrom(request)
        put(inner(spoiled, self.place.fields[:-1]), self.place.field, self.value.content)
        return spoiled.SerializeToString().replace(STAND_IN, HALF_A_SURROGATE)


def spoiled_by(kind: Kind, request: Descriptor) -> Iterator[Spoiled]:
    """Yield everything of a kind that can be wrong with a request."""
    for place in places(request):
        for value in values(kind, place.field):
            yield Spoiled(place, value)


def places(message: Descriptor, led: tuple[FieldDescriptor, ...] = ()) -> Iterator[Place]:
    """Yield every field, and those of the messages in it."""
    for field in message.fields:
        yield Place((*led, field))
        if field.message_type:
            yield from places(field.message_type, (*led, field))


def values(kind: Kind, field: FieldDescriptor) -> Iterator[Value]:
    """Yield what can be wrong with a field."""
    if kind is Kind.SIZE and field.is_repeated:
        yield Value(f"{MANY} of them", (MANY,), refused=True)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and field.type == FieldDescriptor.TYPE_BYTES:
        yield from (Value(value.name, value.content.encode(), value.refused) for value in TEXTS[kind] if value.refused)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        yield from TEXTS[kind]
        yield from NAMED.get(field.name, {}).get(kind, [])
    elif kind is Kind.NUMBER:
        yield from NUMBERS.get(field.cpp_type, [])


def inner(message: Message, led: Iterable[FieldDescriptor]) -> Any:
    """Return the message within a message; one is added where there is none."""
    for field in led:
        content = getattr(message, field.name)
        if field.is_repeated:
            content = content[0] if content else content.add()
        else:
            content.SetInParent()
        message = content
    return message


def put(message: Any, field: FieldDescriptor, content: Any) -> None:
    """Set a field; a tuple says how many times what stands in it, or something that may."""
    if not field.is_repeated:
        setattr(message, field.name, content)
        return
    many = getattr(message, field.name)
    if isinstance(content, tuple):
        one = many[0] if many else an_element(field)
        many.extend([one] * content[0])
        return
    del many[:]
    many.append(content)


def an_element(field: FieldDescriptor) -> Any:
    """Return what may stand in a repeated field."""
    return {FieldDescriptor.CPPTYPE_ENUM: 1, FieldDescriptor.CPPTYPE_STRING: "a"}[field.cpp_type]
