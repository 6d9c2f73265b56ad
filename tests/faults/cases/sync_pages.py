"""TikTok's pages are cut, repeated, never-ending or no pages at all; nothing of that is stored, and nothing twice."""

from typing import Any

from tokhub.sync.v1 import sync_pb2

from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.runs import (
    calls_to,
    connect_stores,
    end_of,
    endings,
    mint_stores,
    sync_calls,
    tallied,
    told,
)

FIRST_BYTES = 2_048
STEP = 8
EACH = 4  # damaged answers that one store bears
CUTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("truncated", {"announced": "whole", "end": "close"}),
    ("truncated", {"announced": "whole", "end": "reset"}),
    ("reset", {"when": "before"}),
    ("answer_lost", {}),
)
LOOPS = ("loop", "forever", "back", "empty")


@case(
    "U07 sync",
    fault="a page of videos cut at every eighth of its first 2,048 bytes; broken off, reset, never sent, on page 2",
    expected="the page is asked for again; nothing of the damaged one is stored",
    videos="25",
)
async def cut_pages(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync(VIDEO_SYNC_CONCURRENCY="80")
    offsets = range(1, FIRST_BYTES, STEP)
    codes = await mint_stores(lab, len(offsets) // EACH + len(CUTS))
    for number, offset in enumerate(offsets):
        where = codes[number // EACH]
        await lab.fault("truncated", where, endpoint="video", at_byte=offset, announced="sent")
    for code, (kind, more) in zip(codes[-len(CUTS) :], CUTS, strict=True):
        await lab.fault(kind, code, endpoint="video", skip=1, **more)
    run_id = await sync.begin(sync_pb2.JOB_VIDEO)
    run = await end_of(lab, run_id)
    calls = await calls_to(lab, "video_list")
    seen = (
        f"{len(offsets)} cuts, {len(CUTS)} broken connections, {len(calls)} calls; {told(run)}, {run['videos']} videos"
    )
    wanted = 2 * len(codes) + len(offsets) + len(CUTS)
    expect((run["succeeded"], run["videos"]) == (len(codes), 25 * len(codes)), seen)
    expect(len(calls) <= wanted, f"{seen}, not {wanted}")
    return seen


@case(
    "U08 sync",
    fault="HTML with status 200, under its own type and under JSON's, once and for ever; JSON under HTML's type",
    expected="UPSTREAM_BAD_RESPONSE after five attempts, nothing of the page anywhere; JSON is read whatever its type",
)
async def pages_of_html(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    codes = ("shop-html", "shop-json", "shop-once", "shop-typed")
    await connect_stores(lab, sync, *codes)
    await lab.fault("html", "shop-html", endpoint="user", status=200, count=None)
    await lab.fault("html", "shop-json", endpoint="user", status=200, content_type="application/json", count=None)
    await lab.fault("html", "shop-once", endpoint="user", status=200)
    await lab.fault("headers", "shop-typed", endpoint="user", headers=[["Content-Type", "text/html"]])
    run_id = await sync.begin(sync_pb2.JOB_USER)
    run = await end_of(lab, run_id)
    ended = await endings(lab, run_id)
    calls = [(await sync_calls(lab, code))["user_info"] for code in codes]
    bad = "FAILED UPSTREAM_BAD_RESPONSE"
    seen = f"{tallied(list(ended.values()))}, calls {calls}; {told(run)}"
    expect(ended == dict(zip(codes, (bad, bad, "SUCCESS", "SUCCESS"), strict=True)), seen)
    expect(calls == [5, 5, 2, 1], seen)
    logged = await lab.sql(
        "SELECT string_agg(message || coalesce(raw_error, ''), ' ') AS text FROM reporting.sync_logs"
    )
    expect("verify that you are human" not in logged[0]["text"] + sync.log.read_text(), "the page is in a log")
    return seen


@case(
    "U12 sync",
    fault="a fifth of the videos twice: within a page, on the next page too, and in another run of the same day",
    expected="one row each, as TikTok shows it; the count of videos is right",
    videos="90",
)
async def repeated_videos(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    within, across = [f"shop-{number}" for number in range(4)], [f"shop-{number}" for number in range(4, 8)]
    await connect_stores(lab, sync, *within, *across)
    for code in within:
        await lab.fault("duplicate_videos", code, endpoint="video", share=0.2, count=None)
    for code in across:
        await lab.fault("duplicate_videos", code, endpoint="video", share=0.2, across=True, count=None)
    runs = [await end_of(lab, await sync.begin(sync_pb2.JOB_VIDEO)) for _ in range(2)]
    rows = (await lab.sql("SELECT count(*) AS rows FROM reporting.tiktok_video_daily"))[0]["rows"]
    counted = [run["videos"] for run in runs]
    calls = len(await calls_to(lab, "video_list"))
    seen = f"{rows} rows, {counted} counted, {calls} calls; {told(runs[0])}"
    expect(rows == 8 * 90 and counted == [720, 720], seen)
    return seen


@case(
    "U13 sync",
    fault="pages that lead to themselves, have more for ever, go back, or are empty with more to come",
    expected="UPSTREAM_CURSOR_LOOP after few calls; one empty page on the way is no loop; others succeed",
    videos="50",
)
async def endless_pages(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    await connect_stores(lab, sync, *LOOPS, "one-empty", "fine")
    lab.allowed.bent.add("empty")  # its one page that was read is empty
    for mode in LOOPS:
        await lab.fault("paging", mode, endpoint="video", mode=mode, count=None)
    await lab.fault("paging", "one-empty", endpoint="video", mode="empty", skip=1)
    run_id = await sync.begin(sync_pb2.JOB_VIDEO)
    run = await end_of(lab, run_id)
    ended = await endings(lab, run_id)
    calls = {code: (await sync_calls(lab, code))["video_list"] for code in ended}
    seen = f"{tallied(list(ended.values()))}, calls {calls}; {told(run)}"
    expect([ended[mode] for mode in LOOPS] == ["FAILED UPSTREAM_CURSOR_LOOP"] * len(LOOPS), seen)
    expect(max(calls[mode] for mode in LOOPS) <= 5 and run["succeeded"] == 2, seen)
    return seen
