"""Tokens end while the sync service works with them: at TikTok alone, or for good."""

import asyncio

from tokhub.sync.v1 import sync_pb2

from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.runs import (
    calls_to,
    connect_stores,
    end_of,
    endings,
    items_of,
    sync_calls,
    tallied,
    told,
    until_true,
)

LIFE = 600  # seconds of an access token, by TikTok's clock


@case(
    "U15 sync",
    fault="every access token is dead at TikTok alone at page 3 of 5, while a second run begins: 16 items meet it",
    expected="one refresh a store, the page once more; who is refused the new token too fails after that one refresh",
    videos="100",
)
async def tokens_rejected(lab: Lab) -> str:
    await lab.replica()
    first, second = await asyncio.gather(lab.sync("first"), lab.sync("second"))
    await lab.switch(access_ttl_seconds=LIFE, latency_video_ms=500)
    codes = [f"shop-{number}" for number in range(8)]
    await connect_stores(lab, first, *codes)
    videos = await first.begin(sync_pb2.JOB_VIDEO)
    await until_true(lab, "pages", "SELECT sum(pages) >= 16 FROM reporting.sync_items")
    await asyncio.to_thread(lambda: lab.sandbox.control.post("/sandbox/clock", json={"advance_seconds": LIFE + 1}))
    users = await second.begin(sync_pb2.JOB_USER)
    runs = [await end_of(lab, run_id) for run_id in (videos, users)]
    refreshes = [await lab.refreshes(code) for code in codes]
    refused = sum(call.outcome == "access_token_invalid" for call in await calls_to(lab, "video_list"))
    pages = [(await sync_calls(lab, code))["video_list"] for code in codes]
    seen = f"{sum(refreshes)} refreshes, {refused} pages refused, {max(pages)} calls at most; {told(runs[0])}"
    expect(set(refreshes) == {1} and [run["succeeded"] for run in runs] == [8, 8], f"{refreshes}, {seen}")
    expect(refused <= 8 and max(pages) <= 6, seen)
    return f"{seen}; {await always_rejected(lab)}"


async def always_rejected(lab: Lab) -> str:
    """Let TikTok refuse every token of a store; return how its item ended."""
    sync = lab.syncs[0]
    await connect_stores(lab, sync, "shop-never")
    await lab.fault("access_token_invalid", "shop-never", endpoint="user", count=None)
    run_id = await sync.begin(sync_pb2.JOB_USER, "shop-never")
    await end_of(lab, run_id)
    ended = (await endings(lab, run_id))["shop-never"]
    calls, refreshes = (await sync_calls(lab, "shop-never"))["user_info"], await lab.refreshes("shop-never")
    seen = f"{ended} after {calls} calls and {refreshes} refresh"
    expect((ended, calls, refreshes) == ("FAILED UPSTREAM_BAD_RESPONSE", 2, 1), seen)
    return seen


@case(
    "U16 sync",
    fault="owners of two of five stores have removed the app before a run",
    expected="those two are skipped with the way to reconnect, after one refused refresh each and no more calls later",
)
async def consent_withdrawn(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    codes = [f"shop-{number}" for number in range(5)]
    gone = codes[:2]
    await connect_stores(lab, sync, *codes)
    lab.allowed.ended, lab.allowed.repeats = set(gone), len(gone)
    for code in gone:
        await asyncio.to_thread(lab.sandbox.control.post, f"/sandbox/accounts/{lab.accounts[code]}/revoke")
    before = await lab.calls()
    first = await end_of(lab, await sync.begin(sync_pb2.JOB_USER))
    refreshes, calls = await lab.calls() - before, len(await calls_to(lab, "user_info"))
    run_id = await sync.begin(sync_pb2.JOB_ALL)
    second = await end_of(lab, run_id)
    links = await lab.sql(
        "SELECT message FROM reporting.sync_logs WHERE status = 'SKIPPED' AND subject_id = $1", gone[0]
    )
    seen = f"first {told(first)} with {refreshes} refreshes, {calls} calls; then {told(second)}"
    expect((first["skipped"], second["skipped"], refreshes) == (2, 2, 2), seen)
    ended = tallied([str(row["reason"]) for row in await items_of(lab, run_id) if row["subject_id"] in gone])
    expect(ended == "6 x REAUTH_REQUIRED" and all("/connect/tiktok" in row["message"] for row in links), ended)
    later = len(await calls_to(lab, "user_info")) - calls
    expect((calls, later) == (5, 3), f"{calls} calls, then {later}")
    return f"{seen}; {links[0]['message']}"
