"""Faults of heads over HTTP: keys twice, odd or large, requests hidden in requests, ids of other events."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from tests.faults.bad_values import MARK, MEBIBYTE
from tests.faults.case import case, expect
from tests.faults.cases.bad_http import expect_unlogged, world
from tests.faults.gateway_processes import GatewayReplica
from tests.faults.gateways import begin, events
from tests.faults.http_requests import PATIENCE, send
from tests.faults.lab import Lab
from tests.faults.runs import end_of

# Lines of a head around a right key, and the statuses that may answer.
KEY_LINES: Mapping[str, tuple[str, set[int]]] = {
    "as it should be": ("X-API-KEY: {key}", {200}),
    "in another case": ("x-api-key: {key}", {200}),
    "twice": ("X-API-KEY: {key}\r\nX-API-KEY: {key}", {400}),
    "and another": ("X-API-KEY: {key}\r\nx-api-key: other", {400}),
    "another, and it": ("X-API-KEY: other\r\nX-API-KEY: {key}", {400}),
    "an empty one, and it": ("X-API-KEY:\r\nX-API-KEY: {key}", {400}),
    "empty": ("X-API-KEY:", {401}),
    "none": ("X-Other: {key}", {401}),
    "8 kB": ("X-API-KEY: " + "a" * 8_192, {401}),
    "it and 8 kB": ("X-API-KEY: {key}" + "a" * 8_192, {401}),
    "in a list": ("X-API-KEY: {key}, {key}", {401}),
    "in quotes": ('X-API-KEY: "{key}"', {401}),
    "with letters that look alike": ("X-API-KEY: \u0430{key}", {401}),
    "with a byte that is none": ("X-API-KEY: {key}\udcff", {401}),
    "with NUL": ("X-API-KEY: {key}\0", {400}),
    "over two lines": ("X-API-KEY: {key}\r\n more", {400, 401}),
    "over two lines, nothing more": ("X-API-KEY:\r\n {key}", {400, 200}),
    "behind a bare CR": ("X-Other: a\rX-API-KEY: {key}", {400, 401}),
    "behind a bare LF": ("X-Other: a\nX-API-KEY: {key}", {400, 200}),
    "with a space before the colon": ("X-API-KEY : {key}", {400}),
    "in a name with an underscore": ("X_API_KEY: {key}", {401}),
    "in a cookie": ("Cookie: X-API-KEY={key}", {401}),
    "as a bearer": ("Authorization: Bearer {key}", {401}),
}
# Heads that two servers could read in two ways, before a body that holds a request of its own.
HIDDEN = (
    "POST /admin/stores HTTP/1.1\r\nHost: x\r\nX-API-KEY: {key}\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\n\r\n{body}"
)
BODY = '{"store_code":"hidden","store_name":"A","pic_name":"P"}'
LENGTHS: Sequence[str] = (
    "Content-Length: {size}\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: {size}",
    "Content-Length: 0\r\nContent-Length: {size}",
    "Content-Length: {size}\r\nContent-Length: 0",
    "Content-Length: 0, {size}",
    "Content-Length: +0",
    "Content-Length: -1",
    "Content-Length: 0x0",
    "Content-Length: 99999999999999999999999",
    "Content-Length : {size}",
    "Transfer-Encoding: xchunked\r\nContent-Length: {size}",
    "Transfer-Encoding: chunked, identity\r\nContent-Length: {size}",
    "Transfer-Encoding: identity, chunked\r\nContent-Length: {size}",
    "Transfer-Encoding:\x0bchunked\r\nContent-Length: {size}",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: {size}",
    " Transfer-Encoding: chunked\r\nContent-Length: {size}",
    "X: y\nTransfer-Encoding: chunked\r\nContent-Length: {size}",
    "X: y\rTransfer-Encoding: chunked\r\nContent-Length: {size}",
)
# What is no request, or one that no client of ours sends.
ODD: Mapping[str, bytes] = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "HTTP/3.0": b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
    "noise": bytes(range(256)) * 40,
    "a line of 1 MiB": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MEBIBYTE + b"\r\n\r\n",
    "100,000 lines": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
    "another machine's address": b"GET http://evil.example/admin/stores HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a chunk of 2^64": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    "a websocket": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@case(
    "B10",
    fault="keys twice, empty, of 8 kB, with line breaks and odd letters; requests hidden in others; what is no HTTP",
    expected="400 or 401, one answer each; two keys are 400; no hidden request is carried out; never 5xx",
)
async def heads(lab: Lab) -> str:
    gateway = await world(lab)
    wrong, keys = [], Counter[int]()
    for what, (lines, understood) in KEY_LINES.items():
        request = f"GET /admin/stores HTTP/1.1\r\nHost: x\r\n{lines.format(key=gateway.key)}\r\n\r\n"
        status = (await send(gateway, request.encode("utf-8", "surrogateescape"))).status
        keys[status] += 1
        wrong += [f"a key {what}: {status}"] if status not in understood else []
    hidden = {lengths: await statuses_of(gateway, hiding(gateway.key, lengths)) for lengths in LENGTHS}
    wrong += [f"{lengths!r}: {found}" for lengths, found in hidden.items() if not is_one_refusal(found)]
    odd = {what: await statuses_of(gateway, content) for what, content in ODD.items()}
    wrong += [f"{what}: {found}" for what, found in odd.items() if any(status >= 500 for status in found)]
    wrong += [f"{what}: {odd[what]}" for what in ("a line of 1 MiB", "100,000 lines") if 200 in odd[what]]
    expect(not wrong, "; ".join(wrong))
    rows = await lab.sql("SELECT store_code FROM reporting.stores")
    expect([row[0] for row in rows] == ["shop-1"], f"a hidden request was carried out: {rows}")
    expect_unlogged(lab)
    ways = dict(Counter(map(str, hidden.values())))
    return f"keys {dict(keys)}; {len(hidden)} ways to hide a request: {ways}; {odd}"


def hiding(key: str, lengths: str) -> bytes:
    """Return a request without a right to anything, with another in its body for whoever reads lengths otherwise."""
    inner = HIDDEN.format(key=key, length=len(BODY), body=BODY)
    body = f"0\r\n\r\n{inner}"
    head = f"POST /api/v1/tiktok/auth/initiate HTTP/1.1\r\nHost: x\r\n{lengths.format(size=len(body))}\r\n\r\n"
    return (head + body).encode()


def is_one_refusal(found: Sequence[int]) -> bool:
    """Return whether a request that can be read in two ways was refused, and nothing behind it was answered."""
    return len(found) <= 1 and all(400 <= status < 500 for status in found)


async def statuses_of(gateway: GatewayReplica, content: bytes) -> list[int]:
    """Send bytes and return the statuses of all answers, until the gateway closes or has nothing more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.metrics_port)
    told = b""
    try:
        writer.write(content)
        await writer.drain()
        while chunk := await asyncio.wait_for(reader.read(65_536), SILENCE if told else PATIENCE):
            told += chunk
    except (OSError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
    return [int(line[9:12]) for line in told.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


SILENCE = 1.0  # seconds behind an answer in which another one would begin
EVENT_IDS = (
    *("-1", "18446744073709551616", "9223372036854775808", "abc", "1.5", "1e3", "0x1", "\u0663", "1,2", "1 2", "+1"),
    "1" * 8_192,
    MARK,
)


@case(
    "B12",
    fault="event ids that are none: negative, 2^64, words, two of them, 8 kB; ids of another run's events",
    expected="400; an id behind the run's last begins anew; only events of the run that was asked for, never doubled",
)
async def event_ids(lab: Lab) -> str:
    gateway = await world(lab)
    first, second = [await ended_run(lab, gateway) for _ in range(2)]
    refused = [await status_for(gateway, first, ("Last-Event-ID", text)) for text in EVENT_IDS]
    refused.append(await status_for(gateway, first, ("Last-Event-ID", "1"), ("Last-Event-ID", "2")))
    expect(set(refused) == {400}, refused)
    whole = await told(gateway, first)
    last = whole[-1][1]
    expect(last > 0 and set(whole) == {(first, number) for _, number in whole}, whole)
    for seen in range(last):
        later = await told(gateway, first, seen)
        expect(later[-1] == (first, last) and all(number > seen for _, number in later), f"behind {seen}: {later}")
    at_end = await status_for(gateway, first, ("Last-Event-ID", str(last)))
    expect(at_end == 204, at_end)
    beyond, other = await told(gateway, first, last + 1_000), await told(gateway, second, 0)
    expect(beyond == whole and {run for run, _ in other} == {second}, (beyond, other))
    expect_unlogged(lab)
    return f"{len(refused)} ids refused; {len(whole)} events in all, as many behind {last + 1_000}, none behind {last}"


async def ended_run(lab: Lab, gateway: GatewayReplica) -> str:
    """Sync all stores; return the run's id."""
    run_id = await begin(gateway, lab.syncs[0])
    await end_of(lab, run_id)
    return run_id


async def status_for(gateway: GatewayReplica, run_id: str, *headers: tuple[str, str]) -> int:
    """Return the status of a watch with these headers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"GET /admin/sync/runs/{run_id}/events HTTP/1.1\r\nHost: x\r\nX-API-KEY: {gateway.key}\r\n{lines}\r\n"
    return (await send(gateway, head.encode())).status


async def told(gateway: GatewayReplica, run_id: str, seen: int | None = None) -> list[tuple[str, int]]:
    """Return run and sequence of every event that a watcher gets who has seen one."""
    headers = {} if seen is None else {"Last-Event-ID": str(seen)}
    async with gateway.admin.stream("GET", f"/admin/sync/runs/{run_id}/events", headers=headers) as answer:
        return [(event["runId"], event["sequence"]) async for event in events(answer)]
