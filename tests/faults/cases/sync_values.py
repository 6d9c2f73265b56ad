"""TikTok's answers to sync calls hold the wrong things: other types, missing fields, errors under status 200."""

from collections.abc import Mapping
from typing import Any

from tokhub.sync.v1 import sync_pb2

from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.runs import connect_stores, end_of, endings, sync_calls, tallied, told
from tests.faults.sync_invariants import truth_of

WRONG: Mapping[str, Any] = {
    "text": "123",
    "null": None,
    "huge": 1e308,
    "nan": float("nan"),
    "beyond": 2**63,
    "negative": -1,
    "bool": True,
    "list": [1],
    "object": {"a": 1},
}
FIGURES = ("view_count", "like_count", "comment_count", "share_count")
BAD = "FAILED UPSTREAM_BAD_RESPONSE"
# What happens when a field of a page, or of an account, is not there.
MISSING = {
    "/data/videos/*/view_count": "SUCCESS",
    "/data/videos/*/create_time": "SUCCESS",
    "/data/videos/*/video_description": "SUCCESS",
    "/data/videos/3/id": "SUCCESS",
    "/data/cursor": BAD,
    "/data/has_more": BAD,
    "/data/videos": BAD,
    "/data": BAD,
    "/error": BAD,
}
MISSING_OF_ACCOUNT = {
    "/data/user/follower_count": "SUCCESS",
    "/data/user/display_name": "SUCCESS",
    "/data/user/username": "SUCCESS",
    "/data/user": BAD,
    "/error/code": BAD,
}
# Code, whether it passes when it comes once, and how it ends when it always comes.
ERRORS = {
    "access_token_invalid": ("SUCCESS", BAD),
    "scope_not_authorized": ("FAILED SCOPE_MISSING", "FAILED SCOPE_MISSING"),
    "rate_limit_exceeded": ("SUCCESS", None),
    "internal_error": ("SUCCESS", None),
    "invalid_params": ("SUCCESS", BAD),
    "something_new": ("SUCCESS", BAD),
}


@case(
    "U09 sync",
    fault="figures as text, null, 1e308, NaN, 2^63, negative, true, a list, an object; one bad video among good ones",
    expected="what makes no sense is absent, everything else is stored; no store fails for it",
    videos="25",
)
async def wrong_types(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    codes = [f"shop-{name}" for name in WRONG]
    await connect_stores(lab, sync, *codes, "shop-one-bad")
    lab.allowed.bent = {*codes, "shop-one-bad"}
    for code, value in zip(codes, WRONG.values(), strict=True):
        videos = {f"/data/videos/*/{name}": value for name in FIGURES}
        await lab.fault("field", code, endpoint="video", set=videos, count=None)
        await lab.fault("field", code, endpoint="user", set={"/data/user/likes_count": value}, count=None)
    await lab.fault("field", "shop-one-bad", endpoint="video", set={"/data/videos/3/id": {"not": "an id"}})
    run = await end_of(lab, await sync.begin(sync_pb2.JOB_ALL))
    expect(run["succeeded"] == len(codes) + 1, told(run))
    for code in codes:
        await expect_absent(lab, code)
    rows = await lab.sql("SELECT count(*) AS n FROM reporting.tiktok_video_daily WHERE subject_id = 'shop-one-bad'")
    expect(rows[0]["n"] == 24, f"{rows[0]['n']} videos beside the bad one")
    return f"{len(WRONG)} kinds of values in {len(FIGURES) + 1} fields: {told(run)}; 24 videos beside a bad one"


async def expect_absent(lab: Lab, code: str) -> None:
    """Expect a store's figures to be absent, and all else as TikTok shows it."""
    rows = await lab.sql("SELECT * FROM reporting.tiktok_video_daily WHERE subject_id = $1", code)
    figures = {row[name] for row in rows for name in FIGURES}
    truth = await truth_of(lab, code, str(rows[0]["snapshot_date"]))
    texts = {video["id"]: video["video_description"] for video in truth["videos"]}
    expect(figures == {None}, f"{code} has figures {figures}")
    expect({row["video_id"]: row["description"] for row in rows} == texts, f"{code}: other videos or texts")
    account = (await lab.sql("SELECT * FROM reporting.tiktok_user_daily WHERE subject_id = $1", code))[0]
    shown = truth["user"]
    expect((account["likes_count"], account["follower_count"]) == (None, shown["follower_count"]), dict(account))


@case(
    "U10 sync",
    fault="each field of an account and of a page is left out in turn",
    expected="a figure or a text is absent; without list, cursor or account the store fails, and nothing is stored",
    videos="25",
)
async def missing_fields(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    pages = {f"page-{number}": pointer for number, pointer in enumerate(MISSING)}
    accounts = {f"account-{number}": pointer for number, pointer in enumerate(MISSING_OF_ACCOUNT)}
    await connect_stores(lab, sync, *pages, *accounts)
    lab.allowed.bent = {*pages, *accounts}
    for code, pointer in (pages | accounts).items():
        await lab.fault("field", code, endpoint="video" if code in pages else "user", remove=[pointer], count=None)
    ended: dict[str, str] = {}
    for job, of in ((sync_pb2.JOB_VIDEO, pages), (sync_pb2.JOB_USER, accounts)):
        run_id = await sync.begin(job)
        await end_of(lab, run_id)
        ended |= {pointer: (await endings(lab, run_id))[code] for code, pointer in of.items()}
    expected = {**MISSING, **MISSING_OF_ACCOUNT}
    wrong = {pointer: end for pointer, end in ended.items() if end != expected[pointer]}
    expect(not wrong, wrong)
    broken = [code for code, pointer in pages.items() if MISSING[pointer] == BAD]
    rows = await lab.sql("SELECT count(*) AS n FROM reporting.tiktok_video_daily WHERE subject_id = ANY ($1)", broken)
    expect(rows[0]["n"] == 0, f"{rows[0]['n']} rows of pages that cannot be read")
    return f"{len(ended)} fields: {tallied(list(ended.values()))}; 0 rows of pages that cannot be read"


@case(
    "U14 sync",
    fault="each documented error, and one of the future, under status 200 and under its own; once and always",
    expected="each is the error it is, whatever its status; never stored as data",
)
async def errors_under_200(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    expected: dict[str, str] = {}
    for word, (once, always) in ERRORS.items():
        for status in (200, "native"):
            expected[f"{word}-{status}-once"] = once
            if always:
                expected[f"{word}-{status}-always"] = always
    await connect_stores(lab, sync, *expected)
    for code in expected:
        word, status, often = code.split("-")
        count = {} if often == "once" else {"count": None}
        where = status if status == "native" else 200
        await lab.fault("error", code, endpoint="user", code=word, status=where, **count)
    run_id = await sync.begin(sync_pb2.JOB_USER)
    run = await end_of(lab, run_id)
    ended = await endings(lab, run_id)
    wrong = {code: ended[code] for code in expected if ended[code] != expected[code]}
    expect(not wrong, wrong)
    refreshed = sum([await lab.refreshes(code) for code in expected])
    expect(refreshed == 4, f"{refreshed} refreshes for 4 stores whose token was rejected")
    return f"{len(expected)} stores: {tallied(list(ended.values()))}; {refreshed} refreshes; {told(run)}"


@case(
    "U22 sync",
    fault="403 and 404 to every call for three of six stores, in HTML or JSON: accounts that are banned, or gone",
    expected="those fail and say so, after five attempts; the others succeed",
)
async def account_gone(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    codes = [f"shop-{number}" for number in range(6)]
    await connect_stores(lab, sync, *codes)
    for code, kind, status in zip(codes, ("html", "html", "status"), (403, 404, 403), strict=False):
        await lab.fault(kind, code, endpoint="user", status=status, count=None)
    run_id = await sync.begin(sync_pb2.JOB_USER)
    run = await end_of(lab, run_id)
    ended = await endings(lab, run_id)
    calls = [(await sync_calls(lab, code))["user_info"] for code in codes]
    seen = f"{tallied(list(ended.values()))}, calls {calls}; {told(run)}"
    expect([ended[code] for code in codes[:3]] == [BAD, BAD, "FAILED UPSTREAM_UNAVAILABLE"], seen)
    expect(calls == [5, 5, 5, 1, 1, 1] and run["succeeded"] == 3, seen)
    return seen
