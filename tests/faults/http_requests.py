"""Every field of every route, read from the gateway's own document, and requests sent byte by byte."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from tests.faults.bad_values import NAMED, STAND_IN, TEXTS, Kind, Value
from tests.faults.gateway_processes import GatewayReplica
from tests.gateway.raw_http import RawAnswer, exchange

USER = "creator-1"
# What every field may hold, by its name, so that nothing but the spoiled one is wrong.
GOOD: Mapping[str, str] = {
    "store_code": "shop-1",
    "user_id": USER,
    "connection_id": "00000000-0000-4000-8000-000000000000",
    "run_id": "00000000-0000-4000-8000-000000000000",
    "dataset": "user_daily",
    "dry_run": "true",
    "state": "none-of-ours",
    "code": "none-of-tiktoks",
    "store_name": "A store",
    "pic_name": "Somebody",
    "TikTok-Signature": "t=1,s=00",
    "Authorization": "00",
}
# Fields that are given although they need not be.
ALWAYS = ("dry_run",)
QUERY_NUMBERS = [
    *(
        Value(text or "nothing", text, refused=True)
        for text in ("-1", "2147483648", "9223372036854775808", "1e9", "1.5", "", " 1", "+1", "0x10", "\uff11", "1_0")
    ),
    *(Value(text, text, refused=True) for text in ("NaN", "Infinity", "1,000", "9" * 5_000)),
    Value("0", "0"),
]
BODY_NUMBERS = [
    Value("a number", 1, refused=True),
    Value("a fraction", 1.5, refused=True),
    Value("2^63", 1 << 63, refused=True),
    Value("true", True, refused=True),
    Value("a list", [], refused=True),
    Value("a map", {}, refused=True),
]
DAYS = {"from": "from_date", "to": "to_date"}
CUT_OFF = RawAnswer(0, {}, b"")
PATIENCE = 60.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A field: in the path, the query, a header or the body; ignored when the route takes it and looks away."""

    where: str
    name: str
    kind: str
    required: bool
    ignored: bool = False

    def values(self, kind: Kind) -> Iterator[Value]:
        """Yield what can be wrong with it."""
        if kind is Kind.NUMBER:
            yield from BODY_NUMBERS if self.where == "body" else []
            yield from QUERY_NUMBERS if self.kind == "integer" else []
        yield from TEXTS[kind]
        yield from NAMED.get(DAYS.get(self.name, self.name), {}).get(kind, [])


@dataclass(frozen=True, kw_only=True)
class Route:
    """A method on a path, and its fields."""

    method: str
    path: str
    slots: Sequence[Slot]
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def request(self, spoiled: Slot | None = None, content: Any = None) -> bytes:
        """Return a good request on the wire; one slot may be spoiled."""
        given: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": dict(self.headers), "body": {}}
        for slot in self.slots:
            if slot.required or slot.name in ALWAYS:
                given[slot.where][slot.name] = self._good(slot)
        if spoiled:
            given[spoiled.where][spoiled.name] = content
        target = self.path.format(**{name: quoted(value) for name, value in given["path"].items()})
        query = "&".join(f"{name}={quoted(value)}" for name, value in given["query"].items())
        return wire(self.method, f"{target}?{query}" if query else target, given["header"], self._body(given["body"]))

    def _good(self, slot: Slot) -> str:
        if slot.name == "store_code" and (self.method == "DELETE" or slot.where == "body"):
            return f"new-{uuid4().hex[:12]}"
        return GOOD[slot.name]

    def _body(self, members: Mapping[str, Any]) -> bytes | None:
        if not any(slot.where == "body" for slot in self.slots):
            return None
        return json.dumps(members).replace(json.dumps(STAND_IN.decode())[1:-1], "\\ud800").encode()


def quoted(value: object) -> str:
    """Return a value with every byte but letters and digits quoted."""
    return quote(str(value).encode(), safe="").replace(quote(STAND_IN), "%ED%A0%80")


def wire(method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
    """Return a request as it stands, whatever is in it."""
    told = {"Host": "127.0.0.1", **headers}
    if body is not None:
        told |= {"Content-Type": headers.get("Content-Type", "application/json"), "Content-Length": str(len(body))}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + (body or b"")


async def send(gateway: GatewayReplica, request: bytes) -> RawAnswer:
    """Return the answer to a request, CUT_OFF when the gateway closes instead."""
    try:
        return await exchange(gateway.metrics_port, request, patience=PATIENCE)
    except (OSError, asyncio.IncompleteReadError):
        return CUT_OFF


async def routes_of(gateway: GatewayReplica, users: Mapping[str, str]) -> list[Route]:
    """Return every route of the gateway's document; users is the header of a user who is signed in."""
    document = (await gateway.admin.get("/api/openapi.json")).json()
    return [
        Route(
            method=method.upper(),
            path=path,
            slots=list(slots_of(operation)),
            headers=users if path.startswith("/api/v1/tiktok/") else operators(gateway, path),
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def operators(gateway: GatewayReplica, path: str) -> Mapping[str, str]:
    """Return the headers of an operator, who does not wait for a run."""
    return (
        {"Prefer": "respond-async"}
        if path.startswith("/webhooks/")
        else {
            "X-API-KEY": gateway.key,
            "Prefer": "respond-async",
        }
    )


def slots_of(operation: Mapping[str, Any]) -> Iterator[Slot]:
    """Yield the fields of an operation."""
    for told in operation.get("parameters", ()):
        kind = types_of(told["schema"])
        yield Slot(where=told["in"], name=told["name"], kind=kind, required=told.get("required", False))
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    for name, told in schema.get("properties", {}).items():
        yield Slot(
            where="body",
            name=name,
            kind=types_of(told),
            required=name in schema.get("required", ()),
            ignored=told.get("description") == "ignored",
        )


def types_of(schema: Mapping[str, Any]) -> str:
    """Return the type of a field that may be null."""
    kinds = [one.get("type") for one in schema.get("anyOf", [schema])]
    return str(next((kind for kind in kinds if kind != "null"), ""))
