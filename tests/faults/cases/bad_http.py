"""Faults of input over HTTP: every field of every route, spoiled in every way."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tests.faults.bad_values import MARK, Kind, Value
from tests.faults.case import case, expect
from tests.faults.cases.bad_requests import TAKERS, expect_kept_by, keeps_literally, rows_with_mark, tables
from tests.faults.gateway_processes import CODES, GatewayReplica
from tests.faults.gateways import suite
from tests.faults.http_requests import CUT_OFF, USER, Route, Slot, routes_of, send
from tests.faults.lab import Lab
from tests.faults.rpc_requests import at_once
from tests.faults.runs import connect_stores
from tests.gateway.raw_http import RawAnswer
from tests.gateway.served import bearer

# How a request may be answered that is refused for what stands in it, and how any may be.
REFUSED = {400, 401, 404, 413, 414, 415, 431}
FINE = {200, 201, 202, 204, 302, 403, 409}
LONGEST_LINE = 2_000  # bytes of a log


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A spoiled request and its answer."""

    route: Route
    slot: Slot
    value: Value
    answer: RawAnswer

    def __str__(self) -> str:
        return f"{self.route} {self.slot.where} {self.slot.name} = {self.value.name}: {self.answer.status}"

    @property
    def wrong(self) -> bool:
        """Return whether it may not be answered so."""
        if self.answer is CUT_OFF:
            return len(str(self.value.content)) < 1_000
        if self.answer.status not in REFUSED | FINE or self.repeats or self.is_unworded:
            return True
        return self.must_be_refused and self.answer.status not in REFUSED

    @property
    def repeats(self) -> bool:
        """Return whether a refusal holds what was sent."""
        return self.answer.status in REFUSED and MARK.encode() in self.answer.body

    @property
    def is_unworded(self) -> bool:
        """Return whether a refusal for programs has no code that is documented."""
        if self.answer.status < 400 or not self.answer.headers.get("content-type", "").startswith("application/json"):
            return False
        return self.answer.json()["error"]["code"] not in CODES

    @property
    def must_be_refused(self) -> bool:
        """Return whether nobody may take it: outside of bodies, what is no text has become one."""
        if self.value.name == "half a surrogate":
            return self.slot.where == "body"
        return self.value.refused and not self.slot.ignored


async def world(lab: Lab) -> GatewayReplica:
    """Start everything, with one store."""
    gateway = (await suite(lab, "gateway"))[0]
    await connect_stores(lab, lab.syncs[0], "shop-1")
    return gateway


async def try_all(lab: Lab, gateway: GatewayReplica, kind: Kind) -> list[Tried]:
    """Spoil every field of every route in every way of a kind."""
    tries = [
        partial(attempt, gateway, route, slot, value)
        for route in await routes_of(gateway, bearer(USER, lab.secrets["USER_JWT_SECRET"]))
        for slot in route.slots
        for value in slot.values(kind)
    ]
    return await at_once(tries)


async def attempt(gateway: GatewayReplica, route: Route, slot: Slot, value: Value) -> Tried:
    """Send one spoiled request."""
    answer = await send(gateway, route.request(slot, value.content))
    return Tried(route=route, slot=slot, value=value, answer=answer)


async def judge(lab: Lab, tried: Sequence[Tried]) -> str:
    """Expect that all were answered as they may be, and that nothing of it is left where it does not belong."""
    wrong = [str(one) for one in tried if one.wrong]
    expect(not wrong, f"{len(wrong)} of {len(tried)}: {'; '.join(wrong[:20])}")
    expect_unlogged(lab)
    expect_kept_by(TAKERS, rows_with_mark(lab))
    statuses = Counter(one.answer.status for one in tried)
    fields = len({(str(one.route), one.slot) for one in tried})
    told = ", ".join(f"{number} x {status or 'cut off'}" for status, number in statuses.most_common())
    return f"{len(tried)} requests, {fields} fields: {told}"


def expect_unlogged(lab: Lab) -> None:
    """Expect that no log repeats what was sent, but for the gateway's of the paths it was asked for, cut short."""
    for process in lab.processes:
        for line in process.log.read_bytes().splitlines():
            expect(len(line) < LONGEST_LINE, f"{process.name} logs a line of {len(line)} bytes: {line[:120]!r}")
            told = json.loads(line) if line.startswith(b"{") else {"line": line.decode()}
            told.pop("path", None)
            expect(MARK not in json.dumps(told), f"{process.name} repeats: {line[:200]!r}")
    expect(MARK.encode() not in lab.postgres.log.read_bytes(), "repeated in the log of the database")


@case(
    "B01 http",
    fault="every field of every route with 50 KiB and 1 MiB in it",
    expected="400, 413 or cut off; no copy in any log, nothing stored",
)
async def too_large(lab: Lab) -> str:
    gateway = await world(lab)
    return await judge(lab, await try_all(lab, gateway, Kind.SIZE))


@case(
    "B02 http",
    fault="every field of every route with NUL, half a surrogate, other directions, no width, twins, forged pages",
    expected="NUL and what is no text: 400; else a documented answer; never 5xx, nothing repeated in an error or a log",
)
async def strange_texts(lab: Lab) -> str:
    gateway = await world(lab)
    return await judge(lab, await try_all(lab, gateway, Kind.TEXT))


@case(
    "B03 http",
    fault="every field of every route with fragments of SQL, patterns and formats",
    expected="400, or taken literally; every table is there; never 5xx",
)
async def statements(lab: Lab) -> str:
    gateway = await world(lab)
    before = await tables(lab)
    found = await judge(lab, await try_all(lab, gateway, Kind.STATEMENT))
    expect(await tables(lab) == before and await lab.status("shop-1") == "ACTIVE", await tables(lab))
    return f"{found}; {len(before)} tables as before, {await keeps_literally(lab, Kind.STATEMENT)} names as sent"


@case(
    "B04",
    fault="every field of every route with paths: upwards, absolute, of a share, quoted; the same as addresses",
    expected="400 or 404 where it names something, literal elsewhere; no file is shown",
)
async def paths(lab: Lab) -> str:
    gateway = await world(lab)
    found = await judge(lab, await try_all(lab, gateway, Kind.PATH))
    answers = [await send(gateway, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) for target in TRAVERSALS]
    statuses = Counter(answer.status for answer in answers)
    expect(set(statuses) <= {400, 404} and not any(b"root:" in one.body for one in answers), statuses)
    return f"{found}; {len(TRAVERSALS)} addresses that climb: {dict(statuses)}"


UPWARDS = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "%252e%252e%252f", "..%c0%af", "....//", "..;/")
TRAVERSALS = [
    f"{root}{step * 12}etc/passwd"
    for root in ("/", "/docs/", "/api/docs/", "/admin/stores/", "/swagger/", "/console/")
    for step in UPWARDS
]


@case(
    "B05 http",
    fault="every number of every route at its limits and in other notations, days that are none, other types in bodies",
    expected="400 with the field's name, or a documented answer; never 5xx",
)
async def numbers(lab: Lab) -> str:
    gateway = await world(lab)
    return await judge(lab, await try_all(lab, gateway, Kind.NUMBER))
