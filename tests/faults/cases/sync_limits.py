"""TikTok asks the sync service to slow down, or does not answer for a while, for one store or for all."""

from itertools import pairwise

from tokhub.sync.v1 import sync_pb2

from libs.clock import SystemClock
from tests.faults.case import case, expect
from tests.faults.cases.upstream_answers import WAITS
from tests.faults.lab import Lab
from tests.faults.runs import (
    calls_to,
    connect_stores,
    end_of,
    endings,
    items_of,
    mint_stores,
    told,
    until_true,
)

ASKED = 7.0  # seconds
IN_HAND = 2  # calls that were on their way
STORM = 25.0  # seconds that TikTok fails
PUT_OFF = "SELECT next_attempt_at IS NOT NULL FROM reporting.sync_items WHERE run_id = $1::uuid"


@case(
    "U03 sync",
    fault="429 with Retry-After: 7 to one of 20 stores, whose accounts and videos are read",
    expected="that store waits, and its endpoint rests for everybody, for seven seconds; the other endpoint goes on",
)
async def asked_to_wait(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync(SYNC_CONCURRENCY=str(IN_HAND))
    codes = [f"shop-{number:02}" for number in range(20)]
    await connect_stores(lab, sync, *codes)
    await lab.fault("status", "shop-00", endpoint="user", status=429, retry_after=int(ASKED))
    run = await end_of(lab, await sync.begin(sync_pb2.JOB_ALL))
    users, videos = await calls_to(lab, "user_info"), await calls_to(lab, "video_list")
    refused = next(call for call in users if call.outcome != "ok")
    after = sorted(call.at - refused.at for call in users if call.at > refused.at)
    early = [gap for gap in after if gap < ASKED]
    meanwhile = sum(0 < call.at - refused.at < ASKED for call in videos)
    again = min(call.at - refused.at for call in users if call.account == refused.account and call.at > refused.at)
    seen = f"asked again after {again:.1f} s, {len(early)} calls in hand, {meanwhile} pages meanwhile; {told(run)}"
    expect(again >= ASKED and len(early) < IN_HAND and run["succeeded"] == 20, seen)
    expect(not early or max(early) < 1, seen)
    return seen


@case(
    "U04 sync",
    fault="429 to a sync call whose Retry-After is a date, negative, huge, infinite, not a number or a word",
    expected="a wait between one second and fifteen minutes, never an error of ours",
)
async def senseless_waits(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    codes = [f"shop-{number}" for number in range(len(WAITS))]
    await connect_stores(lab, sync, *codes)
    waits = []
    for code, (value, (least, most)) in zip(codes, WAITS.items(), strict=True):
        await lab.sql("DELETE FROM reporting.upstream_budgets")
        await lab.fault("status", code, endpoint="user", status=429, retry_after=value)
        run_id = await sync.begin(sync_pb2.JOB_USER, code)
        await until_true(lab, "a store that waits", PUT_OFF, run_id)
        item = (await items_of(lab, run_id))[0]
        waits.append((item["next_attempt_at"] - item["updated_at"]).total_seconds())
        expect(max(least, 1) - 0.1 <= waits[-1] <= most + 0.1, f"Retry-After: {value} makes {waits[-1]:.1f} s")
        expect(item["reason"] == "UPSTREAM_RATE_LIMITED", item["reason"])
        await sync.client.runs.CancelRun(sync_pb2.CancelRunRequest(run_id=run_id))
    return f"{len(WAITS)} kinds: waits of {min(waits):.1f} to {max(waits):.0f} s"


@case(
    "U05 sync",
    fault="429 without Retry-After to every call for one store's account, for ever",
    expected="five attempts at growing distances, then that store fails with the reason; the others succeed",
)
async def never_admitted(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    codes = [f"shop-{number}" for number in range(6)]
    await connect_stores(lab, sync, *codes)
    await lab.fault("429", "shop-0", endpoint="user", count=None)
    run_id = await sync.begin(sync_pb2.JOB_USER)
    run = await end_of(lab, run_id)
    refused = [call.at for call in await calls_to(lab, "user_info") if call.outcome != "ok"]
    gaps = [later - earlier for earlier, later in pairwise(refused)]
    ended = (await endings(lab, run_id))["shop-0"]
    seen = f"{len(refused)} calls, {', '.join(f'{gap:.0f}' for gap in gaps)} s apart, {ended}; {told(run)}"
    expect((len(refused), ended, run["state"]) == (5, "FAILED UPSTREAM_RATE_LIMITED", "partial"), seen)
    expect(min(gaps) >= 4.9 and run["succeeded"] == 5, seen)
    return seen


@case(
    "U06 sync",
    fault=f"500, 502, 503 and 504 in turn for all of 300 stores, for {STORM:.0f} s",
    expected="the circuit opens, trials find out, every store succeeds; at most a fifth more calls than without",
)
async def outage(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    codes = await mint_stores(lab, 300)
    await lab.fault("alternating", endpoint="user")
    run_id = await sync.begin(sync_pb2.JOB_USER)
    await SystemClock().sleep(STORM)
    during = len(await calls_to(lab, "user_info"))
    await lab.no_faults()
    run = await end_of(lab, run_id)
    calls = len(await calls_to(lab, "user_info"))
    rests = [line for line in sync.events() if line["msg"].startswith("TikTok is not answering")]
    again = [line for line in sync.events() if line["msg"].startswith("TikTok answers again")]
    seen = f"{during} calls in the storm, {calls} in all, {len(rests)} rests, {len(again)} recovery; {told(run)}"
    expect(run["succeeded"] == len(codes) and calls <= 1.2 * len(codes), seen)
    expect(0 < len(rests) <= 4 and len(again) == 1, seen)
    return seen
