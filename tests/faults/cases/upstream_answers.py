"""TikTok answers: with too much, with an error, with a page, with a refusal of the token or of the app."""

import asyncio
from typing import Any

from tokhub.token.v1 import token_pb2

from libs.clock import SystemClock
from libs.errors import TokhubError
from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import reference, start_of
from tests.faults.upstream import (
    BOTH,
    ask_all,
    called_at,
    connect,
    expect_statuses,
    forget_pauses,
    retry_in,
    tally,
    until_fresh,
)

WAITS = {
    "-1": (1, 6),
    "1e9": (890, 900),
    "inf": (890, 900),
    "nan": (1, 6),
    "soon": (1, 6),
    "Wed, 21 Oct 2099 07:28:00 GMT": (890, 900),
    "Wed, 21 Oct 2015 07:28:00 GMT": (1, 6),
}
REFUSALS = {
    "shop": (
        "access_denied",
        "invalid_client",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
        "server_error",
        "temporarily_unavailable",
        "rate_limit_exceeded",
    ),
    "seller": (36009002, 36009003, 36009004, 36009033, 98001004, 105002, 106001, 12345678),
}
DEAD = {"shop": "invalid_grant", "seller": 36004005}


async def prepared(lab: Lab, *codes: str, **environ: str) -> Replica:
    """Connect stores whose tokens have expired."""
    replica = await lab.replica(**environ)
    await connect(lab, replica, *codes)
    await lab.expire()
    return replica


@case(
    "U03",
    fault="429 with Retry-After: 7",
    expected="told so, and no call for that store for seven seconds; other stores go on",
)
async def asked_to_wait(lab: Lab) -> str:
    others = ("shop-2", "seller-2")
    replica = await prepared(lab, *BOTH, *others)
    for code in BOTH:
        await lab.fault("status", code, status=429, retry_after=7)
    limited = await ask_all(replica, BOTH)
    expect({one.reason for one in limited} == {"UPSTREAM_RATE_LIMITED"}, tally(limited))
    expect(all(one.retry_after >= 7 for one in limited), [one.retry_after for one in limited])
    for _ in range(5):
        again = await ask_all(replica, (*BOTH, *others))
        expect([one.served for one in again] == [False, False, True, True], tally(again))
    gaps = []
    for code in BOTH:
        await until_fresh(replica, code)
        *_, first, second = await called_at(lab, code)
        gaps.append(round(second - first, 1))
    expect(min(gaps) >= 7, f"called again after {gaps} s")
    await expect_statuses(lab, "ACTIVE", BOTH)
    return f"{tally(limited)}; called again after {gaps} s; the others fresh at once"


@case(
    "U04",
    fault="429 whose Retry-After is a date, negative, huge, infinite, not a number or a word",
    expected="a wait between one second and fifteen minutes, never an error of ours",
)
async def senseless_waits(lab: Lab) -> str:
    codes = {f"{kind}-{number}": value for kind in ("shop", "seller") for number, value in enumerate(WAITS)}
    replica = await prepared(lab, *codes)
    for code, value in codes.items():
        await lab.fault("status", code, status=429, retry_after=value)
    clock = SystemClock()
    began = clock.monotonic()
    outcomes = await ask_all(replica, codes)
    expect({one.reason for one in outcomes} == {"UPSTREAM_RATE_LIMITED"}, tally(outcomes))
    for code, value in codes.items():
        least, most = WAITS[value]
        waits = await retry_in(lab, code)
        passed = clock.monotonic() - began
        expect(least - passed <= waits <= most, f"Retry-After: {value} makes {code} wait {waits:.0f} s")
    return f"{len(codes)} answers of {len(WAITS)} kinds: {tally(outcomes)}, waits of 1 to 900 s"


@case(
    "U05",
    fault="429 without Retry-After, again and again, under many callers",
    expected="pauses that double with jitter up to fifteen minutes; one call a pause",
)
async def backing_off(lab: Lab) -> str:
    replica = await prepared(lab, *BOTH)
    for code in BOTH:
        await lab.fault("429", code, count=None)
    before = [len(await called_at(lab, code)) for code in BOTH]
    pauses = []
    for turn in range(9):
        await forget_pauses(lab)
        await asyncio.gather(*(replica.stampede(code, 20) for code in BOTH))
        pauses.append(max([await retry_in(lab, code) for code in BOTH]))
        longest = min(5 * 2**turn, 900)
        expect(longest / 2 - 2 <= pauses[-1] <= longest, f"pause {turn} is {pauses[-1]:.1f} s")
    calls = [len(await called_at(lab, code)) - earlier for code, earlier in zip(BOTH, before, strict=True)]
    expect(calls == [9, 9], f"{calls} calls in 9 pauses")
    await expect_statuses(lab, "ACTIVE", BOTH)
    return f"{calls} calls by 180 callers each, pauses {', '.join(f'{pause:.0f}' for pause in pauses)} s"


@case(
    "U06",
    fault="500, 502, 503 and 504 in turn for all of 40 stores, while callers and the background go on asking",
    expected="the circuit opens: one event, few calls, no status changed; a trial finds out and all recover",
)
async def outage(lab: Lab) -> str:
    codes = [f"shop-{number}" for number in range(40)]
    replica = await prepared(lab, *codes, REFRESH_AHEAD_CONCURRENCY="4")
    before = await lab.calls()
    await lab.expire()
    await lab.fault("alternating")
    asked = 0
    clock = SystemClock()
    began = clock.monotonic()
    while clock.monotonic() - began < 14:
        for start in range(0, len(codes), 4):
            asked += len(await ask_all(replica, codes[start : start + 4]))
    calls = await lab.calls() - before
    await expect_statuses(lab, "ACTIVE", codes)
    told = [line for line in replica.events() if line["msg"].startswith("provider is not answering")]
    expect(len(told) == 1, f"{len(told)} events")
    expect(calls <= 20, f"{calls} calls")
    await lab.no_faults()
    began = clock.monotonic()
    await asyncio.gather(*(until_fresh(replica, code) for code in codes))
    took = clock.monotonic() - began
    again = [line for line in replica.events() if line["msg"].startswith("provider answers again")]
    expect(len(again) == 1, f"{len(again)} recoveries")
    return f"{asked} asked, {calls} calls, 1 event; fresh again within {took:.0f} s"


@case(
    "U08",
    fault="a page with status 200, under a page's type and under JSON's; and JSON under a page's type",
    expected="UPSTREAM_BAD_RESPONSE, nothing of the page logged, no status changed; JSON is read whatever its type",
)
async def pages(lab: Lab) -> str:
    typed = ("shop-2", "seller-2")
    replica = await prepared(lab, *BOTH, *typed)
    kinds = ("text/html", "application/json")
    for code in BOTH:
        for kind in kinds:
            await lab.fault("html", code, status=200, content_type=kind)
    for code in typed:
        await lab.fault("headers", code, headers=[["Content-Type", "text/html"]])
    for _ in kinds:
        outcomes = await ask_all(replica, BOTH)
        expect({one.reason for one in outcomes} == {"UPSTREAM_BAD_RESPONSE"}, tally(outcomes))
        await forget_pauses(lab)
    read = await ask_all(replica, typed)
    expect({str(one) for one in read} == {"FRESH 2"}, tally(read))
    await expect_statuses(lab, "ACTIVE", BOTH)
    expect("verify that you are human" not in replica.log.read_text(), "the page is in the log")
    exchange, revocation = await page_at_exchange(lab, replica), await page_at_revocation(lab, replica)
    return f"{tally(outcomes)}; JSON as text/html {read[0]}; code exchange {exchange}; revocation {revocation}"


async def page_at_exchange(lab: Lab, replica: Replica) -> str:
    """Answer a code exchange with a page; return the reason that is told."""
    link = await replica.connections.StartAuthorization(start_of("shop-3"))
    came_back = await asyncio.to_thread(lab.sandbox.consent, link.authorize_url, lab.sandbox.next_account())
    await lab.fault("html", status=200)
    request = token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
    try:
        await replica.connections.CompleteAuthorization(request)
    except TokhubError as error:
        expect(error.reason == "UPSTREAM_BAD_RESPONSE", error.reason)
        return str(error.reason)
    raise AssertionError("connected by a page")


async def page_at_revocation(lab: Lab, replica: Replica) -> str:
    """Answer a revocation with a page, which ends no grant; return what became of it in the end."""
    lab.allowed.ended.add("shop-2")
    await lab.fault("html", "shop-2", endpoint="revoke", status=200)
    gone = await replica.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference("shop-2")))
    expect(gone.revocation == token_pb2.REVOCATION_PENDING, gone.revocation)
    await lab.sql("UPDATE revocations SET next_at = clock_timestamp()")
    async with asyncio.timeout(90):
        while (await lab.sql("SELECT count(*) AS waiting FROM revocations"))[0]["waiting"]:
            await SystemClock().sleep(0.5)
    alive = [one for one in (await lab.ledger("shop-2"))["grants"] if one["live_refresh_token"]]
    expect(not alive, "the grant lives on at TikTok")
    return "pending, then ended"


@case(
    "U14",
    fault="each documented error under status 200 and under its own, at a refresh",
    expected="what blames the app or TikTok changes no status and costs nothing; only a dead token asks for consent",
)
async def errors_under_200(lab: Lab) -> str:
    faults: dict[str, dict[str, Any]] = {
        f"{kind}-{number}-{status}": {"code": code, "status": status}
        for kind, words in REFUSALS.items()
        for number, code in enumerate(words)
        for status in (200, "native")
    }
    dead = {
        f"{kind}-dead-{status}": {"code": DEAD[kind], "status": status} for kind in DEAD for status in (200, "native")
    }
    replica = await prepared(lab, *faults, *dead)
    for code, fault in (faults | dead).items():
        await lab.fault("error", code, **fault)
    lab.allowed.ended = set(dead)
    refused = await ask_all(replica, dead)
    expect({str(one) for one in refused} == {"REAUTH_REQUIRED refused"}, tally(refused))
    outcomes = await ask_all(replica, faults)  # enough of them to open the circuit
    expect(not any(one.served or one.reason == "REAUTH_REQUIRED" for one in outcomes), tally(outcomes))
    await expect_statuses(lab, "ACTIVE", faults)
    await lab.no_faults()
    await forget_pauses(lab)
    await replica.stop()
    await replica.start()
    again = await ask_all(replica, faults)
    expect({str(one) for one in again} == {"FRESH 2"}, tally(again))
    return f"{tally(outcomes)}; then {tally(again)}; dead tokens: {tally(refused)}"


@case(
    "U16",
    fault="the account's owner has removed the app: invalid_grant",
    expected="REAUTH_REQUIRED after exactly one call and none after it; the ciphertexts are kept",
)
async def revoked_at_tiktok(lab: Lab) -> str:
    replica = await prepared(lab, *BOTH, REFRESH_AHEAD_CONCURRENCY="4")
    await lab.leave("2 h")
    lab.allowed.ended = set(BOTH)
    lab.allowed.repeats = len(BOTH)  # the one call that finds out
    before = [len(await called_at(lab, code)) for code in BOTH]
    for code, kind in zip(BOTH, ("accounts", "sellers"), strict=True):
        await asyncio.to_thread(lab.sandbox.control.post, f"/sandbox/{kind}/{lab.accounts[code]}/revoke")
    await lab.expire()
    first = await ask_all(replica, BOTH)
    expect({str(one) for one in first} == {"REAUTH_REQUIRED refused"}, tally(first))
    later = [one for _ in range(50) for one in await ask_all(replica, BOTH)]
    expect({str(one) for one in [*first, *later]} == {"REAUTH_REQUIRED refused"}, tally([*first, *later]))
    await SystemClock().sleep(8)  # the background has looked once by then
    calls = [len(await called_at(lab, code)) - earlier for code, earlier in zip(BOTH, before, strict=True)]
    expect(calls == [1, 1], f"{calls} calls")
    kept = [len((await lab.row(code))["refresh_token"]) for code in BOTH]
    expect(min(kept) > 0, "the ciphertexts are gone")
    return f"{tally([*first, *later])}; {calls} calls; ciphertexts of {kept} bytes kept"


@case(
    "U23",
    fault="TikTok refuses the app's secret, for all stores",
    expected="SERVER_MISCONFIG and an error in the log; no store is marked; all recover when it is mended",
)
async def app_refused(lab: Lab) -> str:
    codes = [f"{kind}-{number}" for kind in ("shop", "seller") for number in range(10)]
    replica = await prepared(lab, *codes)
    await lab.fault("oauth_error", error="invalid_client", count=None)
    wrong = "Parameter app_secret is invalid. Reason: it does not belong to an app."
    await lab.fault("error", "seller-*", code=98001004, message=wrong, count=None)
    outcomes = await ask_all(replica, codes)
    expect({one.reason for one in outcomes} == {"SERVER_MISCONFIG"}, tally(outcomes))
    await expect_statuses(lab, "ACTIVE", codes)
    told = [line for line in replica.events() if line["msg"] == "the app's credentials are refused"]
    expect({line["level"] for line in told} == {"error"}, told[:1])
    await lab.no_faults()
    await forget_pauses(lab)
    again = await ask_all(replica, codes)
    expect({str(one) for one in again} == {"FRESH 2"}, tally(again))
    return f"{tally(outcomes)}, ACTIVE; then {tally(again)}"


@case(
    "U24",
    fault="a Date of 1970 and of 2099, headers twice and contradicting each other",
    expected="ignored",
)
async def strange_headers(lab: Lab) -> str:
    dates = ("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 31 Dec 2099 23:59:59 GMT", "yesterday")
    codes = {f"{kind}-{number}": date for kind in ("shop", "seller") for number, date in enumerate(dates)}
    replica = await prepared(lab, *codes)
    for code, date in codes.items():
        twice = [["Retry-After", "7"], ["Retry-After", "900"], ["X-Twice", "a"], ["X-Twice", "b"]]
        await lab.fault("headers", code, headers=[["Date", date], ["Date", dates[0]], *twice])
    outcomes = await ask_all(replica, codes)
    expect({str(one) for one in outcomes} == {"FRESH 2"}, tally(outcomes))
    for code in codes:
        await lab.saved(code, 2)
    lives = await lab.sql("SELECT extract(epoch FROM access_expires_at - clock_timestamp()) AS s FROM connections")
    least = min(row["s"] for row in lives)
    expect(least > 7000, f"a token of two hours has {least:.0f} s left")
    return f"{tally(outcomes)}, lives untouched"
