"""Faults of bodies over HTTP: what is no JSON, JSON with tricks, and members that nobody asked for."""

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.faults.bad_values import MARK
from tests.faults.case import case, expect
from tests.faults.cases.bad_http import expect_unlogged, world
from tests.faults.gateway_processes import GatewayReplica
from tests.faults.http_requests import USER, Route, routes_of, send, wire
from tests.faults.lab import Lab
from tests.gateway.raw_http import RawAnswer
from tests.gateway.served import bearer

WHOLE = b'{"store_code":"tricked","store_name":"A store","pic_name":"Somebody"}'
# Bodies that are no JSON in UTF-8, with the status that says so; %s stands for what would be a right one.
NO_JSON: Mapping[str, tuple[bytes, int]] = {
    "depth 100,000": (b"[" * 100_000, 413),
    "depth 60,000": (b"[" * 60_000, 400),
    "depth 5,000, closed": (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400),
    "a key twice": (WHOLE[:-1] + b',"store_code":"other"}', 400),
    "a key twice, escaped": (WHOLE[:-1] + b',"store\\u005fcode":"other"}', 400),
    "NaN": (b'{"store_code":NaN}', 400),
    "-Infinity": (b'{"store_code":-Infinity}', 400),
    "a number of 60,000 digits": (b"9" * 60_000, 400),
    "1e999": (b'{"store_code":1e999}', 400),
    "something behind it": (WHOLE + b"x", 400),
    "two of them": (WHOLE + WHOLE, 400),
    "a byte order mark": (b"\xef\xbb\xbf" + WHOLE, 400),
    "UTF-16": (WHOLE.decode().encode("utf-16"), 400),
    "UTF-7": (WHOLE.replace(b"tricked", b"+AGE-"), 400),
    "no UTF-8": (WHOLE.replace(b"tricked", b"\xff\xfe"), 400),
    "an overlong slash": (WHOLE.replace(b"A store", b"\xc0\xaf"), 400),
    "half a surrogate": (WHOLE.replace(b"A store", b"\\ud800"), 400),
    "half a surrogate in a key": (b'{"\\udfff":1}', 400),
    "NUL": (WHOLE.replace(b"A store", b"\\u0000"), 400),
    "a raw control character": (WHOLE.replace(b"A store", b"\x01"), 400),
    "single quotes": (WHOLE.replace(b'"', b"'"), 400),
    "a comment": (WHOLE + b"//", 400),
    "a comma too many": (WHOLE[:-1] + b",}", 400),
    "a list": (b"[" + WHOLE + b"]", 400),
    "a text": (b'"' + MARK.encode() + b'"', 400),
    "null": (b"null", 400),
    "half of it": (WHOLE[:-9], 400),
    "a form": (b"store_code=tricked&store_name=A&pic_name=P", 400),
    "compressed": (gzip.compress(WHOLE), 400),
    "nothing but space": (b" " * 1_000, 400),
    "64 KiB and one": (WHOLE[:-1] + b" " * (65_537 - len(WHOLE)) + b"}", 413),
}
OTHER_TYPES = (
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-16",
    "application/json; charset=iso-8859-1",
    'application/json; charset="utf-7"',
    "application/jsonx",
    "multipart/form-data; boundary=x",
    "",
    f"{MARK}/{MARK}",
)


async def body_routes(lab: Lab, gateway: GatewayReplica) -> list[Route]:
    """Return the routes that take a body of their own."""
    routes = await routes_of(gateway, bearer(USER, lab.secrets["USER_JWT_SECRET"]))
    return [route for route in routes if any(slot.where == "body" for slot in route.slots)]


def with_body(route: Route, body: bytes, **headers: str) -> bytes:
    """Return a request of a route with another body."""
    target = route.path.format(store_code="shop-1")
    return wire(route.method, target, {**route.headers, **headers}, body)


@case(
    "B09",
    fault="bodies that are no JSON in UTF-8, by depth, duplicate keys, NaN, marks, charsets, to every route with one",
    expected="400, 413 above 64 KiB, 415 for another type; never 5xx; no store is made of any",
)
async def no_json(lab: Lab) -> str:
    gateway = await world(lab)
    routes = await body_routes(lab, gateway)
    wrong, statuses = [], Counter[int]()
    for route in routes:
        for what, (body, status) in NO_JSON.items():
            answer = await send(gateway, with_body(route, body))
            statuses[answer.status] += 1
            wrong += [f"{route}: {what}: {answer.status}"] if answer.status != status or repeats(answer) else []
        for kind in OTHER_TYPES:
            answer = await send(gateway, with_body(route, WHOLE, **{"Content-Type": kind}))
            statuses[answer.status] += 1
            wrong += [f"{route}: {kind or 'no type'}: {answer.status}"] if answer.status != 415 else []
    expect(not wrong, "; ".join(wrong[:20]))
    expect_unlogged(lab)
    rows = await lab.sql("SELECT store_code FROM reporting.stores")
    expect([row[0] for row in rows] == ["shop-1"], rows)
    return f"{statuses.total()} bodies to {len(routes)} routes: {dict(statuses)}; no store came of it"


def repeats(answer: RawAnswer) -> bool:
    """Return whether a refusal holds what was sent."""
    return MARK.encode() in answer.body or answer.json()["error"]["code"] != "INVALID_REQUEST"


# Members that people hope for, on each of the routes.
HOPED_FOR: Mapping[str, Any] = {
    "state": "CONNECTED",
    "tenant": 2,
    "team_id": 2,
    "id": 1,
    "connection_id": "00000000-0000-4000-8000-000000000000",
    "is_admin": True,
    "role": "admin",
    "created_at": "2020-01-01T00:00:00Z",
    "__proto__": {"admin": True},
    "constructor": {"prototype": {}},
    "STORE_CODE": "other",
    "store_code ": "other",
    "storeCode": "other",
    "": 1,
    MARK * 20: 1,
}
STORE = {"store_name": "Store Jakarta Pusat", "pic_name": "John Doe", "pic_contact": "john@example.com"}
# Bodies as the clients of before send them, with the statuses that say they were understood.
KNOWN: Mapping[str, tuple[Mapping[str, Any], set[int]]] = {
    "POST /admin/stores": ({"store_code": "store_jakarta_01", **STORE}, {201, 409}),
    "PATCH /admin/stores/{store_code}": (STORE, {200}),
    "POST /admin/sync/run": ({"store_code": "shop-1", "job": "user"}, {202, 409}),
    "POST /api/v1/tiktok/auth/initiate": ({"state": "optional-custom-state", "scope": "optional-scopes"}, {200}),
    "POST /api/v1/tiktok/auth/callback": (
        {
            "code": "from-tiktok",
            "state": "none-of-ours",
            "shop_id": "optional-shop-id",
            "shop_region": "optional-region",
        },
        {401},
    ),
}


@case(
    "B13",
    fault="members that no route asks for, one by one beside a whole body, on every route with a body",
    expected="400 for each; the bodies of older clients are taken whole; no store belongs to another team",
)
async def more_than_asked(lab: Lab) -> str:
    gateway = await world(lab)
    routes, wrong = {str(route): route for route in await body_routes(lab, gateway)}, []
    expect(routes.keys() == KNOWN.keys(), f"routes with bodies: {sorted(routes)}")
    tried = 0
    for name, (body, understood) in KNOWN.items():
        route = routes[name]
        whole = await send(gateway, with_body(route, json.dumps(body).encode()))
        wrong += [f"{name} as it was: {whole.status} {whole.body[:120]!r}"] if whole.status not in understood else []
        for member, value in HOPED_FOR.items():
            if member in {slot.name for slot in route.slots}:
                continue
            answer = await send(gateway, with_body(route, json.dumps({**body, member: value}).encode()))
            wrong += [f"{name} with {member[:30]!r}: {answer.status}"] if answer.status != 400 else []
            tried += 1
    expect(not wrong, "; ".join(wrong[:20]))
    rows = await lab.sql("SELECT DISTINCT team_id FROM reporting.stores")
    expect([row[0] for row in rows] == [1], rows)
    return f"{tried} members refused on {len(routes)} routes; {len(KNOWN)} bodies of older clients taken whole"
