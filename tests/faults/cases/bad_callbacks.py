"""Faults of what a browser brings back from TikTok: parts missing, twice, too long, or made up."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from urllib.parse import quote

from tests.faults.bad_values import MARK, MEBIBYTE
from tests.faults.case import case, expect
from tests.faults.cases.bad_http import expect_unlogged, world
from tests.faults.gateway_processes import GatewayReplica
from tests.faults.http_requests import send, wire
from tests.faults.lab import Lab
from tests.faults.products import start_of

CALLBACKS = ("/auth/tiktok/callback", "/api/v1/tiktok/auth/callback")
SCRIPT = quote(f"<script>{MARK}</script>\"'><img src=x onerror={MARK}>")
LONG = "c" * 10_240
# Queries with a state that is good, and the status of the page; the link is spent only where the state is read.
QUERIES: Mapping[str, tuple[str, int]] = {
    "nothing": ("", 400),
    "no code": ("state={state}", 400),
    "an empty code": ("state={state}&code=", 400),
    "no state": ("code={code}", 400),
    "an empty state": ("state=&code={code}", 400),
    "a code of 10 kB": (f"state={{state}}&code={LONG}", 400),
    "a state of 10 kB": (f"state={LONG}&code={{code}}", 400),
    "a state and more": (f"state={{state}}{MARK}&code={{code}}", 400),
    "a state without its end": ("state={cut}&code={code}", 400),
    "a code with spaces": (f"state={{state}}&code={MARK}%20{MARK}", 400),
    "a code with line breaks": (f"state={{state}}&code={MARK}%0d%0aSet-Cookie:%20a=b", 400),
    "a code with NUL": (f"state={{state}}&code={MARK}%00", 400),
    "a code in no alphabet": ("state={state}&code=%ff%fe", 400),
    "a script for a code": (f"state={{state}}&code={SCRIPT}", 400),
    "a script for a state": (f"state={SCRIPT}&code={{code}}", 400),
    "lists": ("state[]={state}&code[]={code}", 400),
    "indexed lists": ("state[0]={state}&code[0]={code}", 400),
    "two states": ("state={state}&state={state}&code={code}", 400),
    "two codes": (f"state={{state}}&code={{code}}&code={MARK}", 400),
    "parts in a fragment": (f"%23state={{state}}&code={{code}}{MARK}", 400),
    "semicolons": ("state={state};code={code}", 400),
    "denied": ("state={state}&error=access_denied&error_description=" + SCRIPT, 400),
    "an unknown error": (f"state={{state}}&error={MARK}", 400),
    "a script for an error": (f"state={{state}}&error={SCRIPT}", 400),
    "an error of 10 kB": (f"state={{state}}&error={MARK}{LONG}", 400),
    "an error and a code": ("state={state}&error=access_denied&code={code}", 400),
    "an error without a state": ("error=access_denied", 400),
    "more than anybody asked for": (f"state={{state}}&code={MARK}&scopes={SCRIPT}&redirect=https://evil.example", 400),
}


@case(
    "B11",
    fault="what comes back from TikTok lacks parts, has them twice, as lists, of 10 kB, with scripts; unknown errors",
    expected="a page in fixed words each time, 400, nothing of it on the page or in a log; then a right one connects",
)
async def callbacks(lab: Lab) -> str:
    gateway = await world(lab)
    wrong, seen = [], Counter[str]()
    for path in CALLBACKS:
        for what, (query, status) in QUERIES.items():
            problem = await problem_of(gateway, path, query.format(**await parts(lab)), status)
            wrong += [f"{path} with {what}: {problem}"] if problem else []
            seen[path] += 1
        for size in (64 << 10, MEBIBYTE):
            answer = await send(gateway, wire("GET", f"{path}?state={'s' * size}", {}))
            wrong += [f"{path} with {size} bytes: {answer.status}"] if answer.status not in {0, 400, 414, 431} else []
    expect(not wrong, "; ".join(wrong[:20]))
    expect_unlogged(lab)
    expect("shop-9" not in await lab.statuses("shop-9"), "a store was connected")
    good = await parts(lab)
    answer = await send(gateway, wire("GET", f"{CALLBACKS[0]}?state={good['state']}&code={good['code']}", {}))
    expect(answer.status == 200 and await lab.status("shop-9") == "ACTIVE", answer.status)
    return f"{seen.total()} callbacks: a page with 400 each, none of them connected; then a right one: {answer.status}"


async def parts(lab: Lab) -> dict[str, str]:
    """Return what TikTok appends after a consent to a link that any browser may use."""
    link = await lab.replicas[0].connections.StartAuthorization(start_of("shop-9"))
    lab.made.add(link.state)
    account = lab.accounts.setdefault("shop-9", lab.sandbox.next_account())
    came_back = await asyncio.to_thread(lab.sandbox.consent, link.authorize_url, account)
    state, code = came_back["state"], came_back["code"]
    return {"state": state, "code": quote(code), "cut": state[:-10]}


async def problem_of(gateway: GatewayReplica, path: str, query: str, status: int) -> str:
    """Return what is wrong with the page for a query, empty when nothing is."""
    answer = await send(gateway, wire("GET", f"{path}?{query}", {}))
    page = answer.body.decode()
    if answer.status != status:
        return f"{answer.status}"
    if not answer.headers["content-type"].startswith("text/html") or "Connection Failed" not in page:
        return f"not a page: {page[:100]}"
    if MARK in page or MARK in str(answer.headers) or "<script" in page or "evil" in page:
        return "the page repeats what came"
    return ""
