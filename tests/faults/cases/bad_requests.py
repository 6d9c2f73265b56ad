"""Faults of input on the wire: every field of every request of both services, spoiled in every way."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from tests.faults.bad_values import MARK, MEBIBYTE, Kind, Spoiled, spoiled_by
from tests.faults.canaries import dump
from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.rpc_requests import Answer, Requests, at_once, call, methods_of, raw_channel
from tests.faults.runs import connect_stores

# How a request may end that is refused for what stands in it.
REFUSALS = {"INVALID_FIELD", "STATE_INVALID", "AUTHORIZATION_DENIED", "UNAUTHENTICATED"}
# How any request may end.
ENDS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "UNAUTHENTICATED"}
# Where a text may stand that was taken: names of stores and shops, the ids of requests, and what is recorded of calls.
TAKERS = (
    *(b"reporting.stores", b"credentials.shops", b"credentials.connection_events"),
    *(b"credentials.audit_calls", b"reporting.audit_calls"),
)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A spoiled request and how it ended."""

    method: MethodDescriptor
    spoiled: Spoiled
    answer: Answer

    def __str__(self) -> str:
        return f"{self.method.name}.{self.spoiled.place} = {self.spoiled.value.name}: {self.answer}"

    @property
    def wrong(self) -> bool:
        """Return whether it may not end so."""
        if self.answer.code not in ENDS or MARK in self.answer.outcome.said:
            return True
        if self.answer.outcome.reason == "INVALID_FIELD" and not self.names_the_field:
            return True
        return self.spoiled.value.refused and not self.is_refused

    @property
    def names_the_field(self) -> bool:
        """Return whether the error names the field, or a message it stands in, or the whole when it cannot be read."""
        place, named = str(self.spoiled.place), self.answer.field
        if named == "request":
            return self.spoiled.value.name == "half a surrogate"
        if place.startswith("period."):
            # Which of two days is the wrong one, when they are in the wrong order?
            return named in {"from", "to"} or place.startswith(named)
        return bool(named) and (place.startswith(named) or self.spoiled.place.field.name.startswith(named))

    @property
    def is_refused(self) -> bool:
        """Return whether it was refused, in the item's own place if it has one."""
        answer: Any = self.answer.answer
        if isinstance(answer, token_pb2.ImportConnectionsResponse):
            return answer.results[0].outcome == token_pb2.IMPORT_OUTCOME_INVALID
        if isinstance(answer, token_pb2.BatchGetValidTokensResponse):
            return bool(answer.results[0].status.code)
        return self.answer.outcome.reason in REFUSALS


async def world(lab: Lab) -> None:
    """Start both services, with one store."""
    await lab.replica()
    await connect_stores(lab, await lab.sync(), "shop-1")


async def try_all(lab: Lab, kind: Kind) -> list[Tried]:
    """Spoil every field of every request in every way of a kind."""
    requests = Requests(lab)
    async with AsyncExitStack() as stack:
        channels = {one: await stack.enter_async_context(raw_channel(one)) for one in (*lab.replicas, *lab.syncs)}
        tries = [
            partial(attempt, requests, channels[process], method, spoiled)
            for process, method in methods_of(lab)
            for spoiled in spoiled_by(kind, method.input_type)
        ]
        return await at_once(tries)


async def attempt(requests: Requests, channel: grpc.aio.Channel, method: MethodDescriptor, spoiled: Spoiled) -> Tried:
    """Send one spoiled request."""
    content = spoiled.within(await requests.good(method))
    tried = Tried(method=method, spoiled=spoiled, answer=await call(channel, method, content))
    requests.lab.history.note("bad input", str(tried), tried.answer.outcome)
    return tried


async def judge(lab: Lab, tried: Sequence[Tried]) -> str:
    """Expect that all ended as they may, and that nothing of it is left where it does not belong."""
    wrong = [str(one) for one in tried if one.wrong]
    expect(not wrong, f"{len(wrong)} of {len(tried)}: {'; '.join(wrong[:20])}")
    logged = [process.name for process in lab.processes if MARK.encode() in process.log.read_bytes()]
    expect(not logged, f"repeated in the logs of {logged}")
    expect(MARK.encode() not in lab.postgres.log.read_bytes(), "repeated in the log of the database")
    kept = rows_with_mark(lab)
    expect_kept_by(TAKERS, kept)
    ended = Counter(one.answer.outcome.reason or one.answer.code for one in tried)
    fields = len({f"{one.method.full_name}.{one.spoiled.place}" for one in tried})
    told = ", ".join(f"{number} x {name}" for name, number in ended.most_common())
    return f"{len(tried)} requests, {fields} fields: {told}; {len(kept)} rows hold one of the texts"


def rows_with_mark(lab: Lab) -> list[bytes]:
    """Return the rows that hold one of the texts, each behind the name of its table."""
    rows = dump(lab.dsn).split(b"\nINSERT INTO ")[1:]
    return [row for row in rows if MARK.encode() in row]


def expect_kept_by(takers: tuple[bytes, ...], rows: Sequence[bytes]) -> None:
    """Expect that rows are in these tables."""
    strays = [row[:80] for row in rows if not row.startswith(takers)]
    expect(not strays, f"stored: {strays}")


@case(
    "B01 rpc",
    fault="every text with 50 KiB and 1 MiB, every list with 100,000 entries, every method with 10 MiB",
    expected="INVALID_FIELD with the field's name, RESOURCE_EXHAUSTED for what is larger than 4 MiB; no copy anywhere",
)
async def too_large(lab: Lab) -> str:
    await world(lab)
    found = await judge(lab, await try_all(lab, Kind.SIZE))
    codes = Counter[str]()
    for process, method in methods_of(lab):
        async with raw_channel(process) as channel:
            answer = await call(channel, method, b"\x7a" + varint(10 * MEBIBYTE) + bytes(10 * MEBIBYTE))
        codes[answer.code] += 1
    expect(set(codes) == {"RESOURCE_EXHAUSTED"}, codes)
    return f"{found}; 10 MiB: {codes.total()} x RESOURCE_EXHAUSTED"


def varint(number: int) -> bytes:
    """Return a number as the wire has it."""
    head = b""
    while number > 0x7F:
        head += bytes([number & 0x7F | 0x80])
        number >>= 7
    return head + bytes([number])


@case(
    "B02 rpc",
    fault="every text of every request with NUL, half a surrogate, other directions, no width, twins, forged pages",
    expected="NUL and what is no text: INVALID_FIELD; else a documented end; never INTERNAL, nothing repeated in a log",
)
async def strange_texts(lab: Lab) -> str:
    await world(lab)
    found = await judge(lab, await try_all(lab, Kind.TEXT))
    same = await keeps_literally(lab, Kind.TEXT)
    return f"{found}; {same} names came back as they were sent"


@case(
    "B03 rpc",
    fault="every text of every request with fragments of SQL, patterns and formats",
    expected="refused, or taken literally: what is stored comes back as it was sent, and every table is there",
)
async def statements(lab: Lab) -> str:
    await world(lab)
    before = await tables(lab)
    found = await judge(lab, await try_all(lab, Kind.STATEMENT))
    expect(await tables(lab) == before and await lab.status("shop-1") == "ACTIVE", await tables(lab))
    same = await keeps_literally(lab, Kind.STATEMENT)
    return f"{found}; {len(before)} tables as before, {same} names came back as they were sent"


async def tables(lab: Lab) -> list[str]:
    """Return the tables there are."""
    rows = await lab.sql(
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables "
        "WHERE schemaname IN ('credentials', 'reporting') ORDER BY 1"
    )
    return [row["name"] for row in rows]


async def keeps_literally(lab: Lab, kind: Kind) -> int:
    """Create a store for every text that is one, and expect it back; return how many."""
    stores = lab.syncs[0].client.stores
    request = sync_pb2.CreateStoreRequest.DESCRIPTOR
    names = [
        one.value.content
        for one in spoiled_by(kind, request)
        if str(one.place) == "store_name" and not one.value.refused
    ]
    for number, name in enumerate(names):
        code = f"named-{number}"
        await stores.CreateStore(
            sync_pb2.CreateStoreRequest(store_code=code, store_name=name, pic_name=name, pic_contact=name)
        )
        found = (await stores.GetStore(sync_pb2.GetStoreRequest(store_code=code))).store
        expect({found.store_name, found.pic_name, found.pic_contact} == {name}, f"{name!r} came back as {found}")
    return len(names)


@case(
    "B04 rpc",
    fault="every text of every request with paths: upwards, absolute, of a share, quoted",
    expected="refused where it names something, literal elsewhere; no file is opened or made",
)
async def paths(lab: Lab) -> str:
    await world(lab)
    return await judge(lab, await try_all(lab, Kind.PATH))


@case(
    "B05 rpc",
    fault="every number of every request at its limits, unknown words of lists, days that are none",
    expected="taken or INVALID_FIELD with the field's name; never INTERNAL",
)
async def numbers(lab: Lab) -> str:
    await world(lab)
    return await judge(lab, await try_all(lab, Kind.NUMBER))
