"""What must hold of runs and snapshots after every case that has a sync service, by what TikTok shows."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from libs.errors import Reason
from tests.faults.lab import Lab
from tests.faults.waiting import NeverCame, until
from tests.suite.truth import Rows, account_of, stored, videos_of

PAGE = 20
FINAL = ("succeeded", "partial", "failed", "cancelled")
SETTLED_WITHIN = 30.0  # seconds that the last messages of a case's queue have
NO_REASON = {"", "INTERNAL"}
REASONS = {*Reason, "CANCELLED"}

# A store's items of a run end each once, and the last of them closes it.
RUNS = """
SELECT run.id::text, state, total, processed, succeeded, failed, skipped, open, numbered, numbers,
       coalesce(stores, 0) AS stores, coalesce(closed, 0) AS closed
FROM reporting.sync_runs run LEFT JOIN (
    SELECT run_id, count(DISTINCT subject_id) AS stores, count(*) FILTER (WHERE state <> 'ended') AS open,
           count(*) FILTER (WHERE closes_subject) AS closed,
           count(ended_sequence) FILTER (WHERE closes_subject) AS numbered,
           count(DISTINCT ended_sequence) FILTER (WHERE closes_subject) AS numbers
    FROM reporting.sync_items GROUP BY run_id
) items ON run_id = run.id
"""
ITEMS = """
SELECT run_id::text, job, subject_id, state, outcome, reason, pages, records,
       (SELECT count(*) FROM reporting.sync_logs line
        WHERE line.run_id = item.run_id AND line.subject_id = item.subject_id
          AND line.job_name = CASE job WHEN 'user' THEN 'sync_user_daily' WHEN 'video' THEN 'sync_video_daily'
                              ELSE 'refresh_tokens' END) AS lines
FROM reporting.sync_items item
"""

DONE = """
SELECT item.subject_id, item.job, outcome, pages, snapshot_date::text AS day
FROM reporting.sync_items item JOIN reporting.sync_runs run ON run.id = run_id WHERE item.job <> 'refresh_tokens'
"""


async def every_run_ends(lab: Lab) -> Sequence[str]:
    """I3: every accepted run ends, each store in it exactly once; what failed or was skipped names a reason."""
    if not lab.syncs:
        return []
    wrong = await settled(lab)
    runs = {row["id"]: row for row in await lab.sql(RUNS)}
    accepted = {run_id for replica in lab.syncs for run_id in replica.accepted}
    wrong += [f"run {run_id} was accepted and is gone" for run_id in accepted - runs.keys()]
    wrong += [found for row in runs.values() for found in wrong_in_run(row)]
    wrong += [found for row in await lab.sql(ITEMS) for found in wrong_in_item(lab, row)]
    return wrong


async def settled(lab: Lab) -> list[str]:
    """Wait until nothing is queued any more, if anybody is there to work on it; return what is left."""

    async def nothing_is_left() -> bool:
        return not (await lab.sql("SELECT count(*) AS left FROM reporting.pgqueuer"))[0]["left"]

    try:
        await until("an empty queue", nothing_is_left, within=SETTLED_WITHIN)
    except NeverCame:
        return ["jobs are left in the queue"]
    return []


def wrong_in_run(row: asyncpg.Record) -> list[str]:
    """Return what is wrong with a run."""
    name, wrong = f"run {row['id']}", []
    if row["state"] not in FINAL:
        return [f"{name} is {row['state']}"]
    if row["open"]:
        wrong.append(f"{name} is {row['state']} with {row['open']} open items")
    if row["numbered"] != row["numbers"]:
        wrong.append(f"{name} has {row['numbered']} ends under {row['numbers']} numbers")
    if row["state"] != "cancelled" and not row["total"] == row["processed"] == row["stores"] == row["closed"]:
        counts = {key: row[key] for key in ("total", "processed", "stores", "closed")}
        wrong.append(f"{name} has counted its stores wrong: {counts}")
    if row["succeeded"] + row["failed"] + row["skipped"] != row["processed"]:
        wrong.append(f"{name} has lost count of outcomes")
    return wrong


def wrong_in_item(lab: Lab, row: asyncpg.Record) -> list[str]:
    """Return what is wrong with an item."""
    name, wrong = f"{row['job']} of {row['subject_id']}", []
    if row["state"] != "ended":
        wrong.append(f"{name} is {row['state']}")
    elif row["outcome"] == "SUCCESS":
        wrong += [f"{name} succeeded with reason {row['reason']}"] if row["reason"] else []
    elif row["reason"] not in REASONS or row["reason"] in NO_REASON - lab.allowed.reasons:
        wrong.append(f"{name} is {row['outcome']} for reason '{row['reason']}'")
    if row["state"] == "ended" and row["lines"] != (row["reason"] != "CANCELLED"):
        wrong.append(f"{name} has {row['lines']} lines in the log")
    return wrong


async def snapshots_are_what_tiktok_shows(lab: Lab) -> Sequence[str]:
    """I4: no row is missing, none is there twice, none is of half a page, and all say what TikTok does."""
    if not lab.syncs:
        return []
    users, videos = await stored(lab.dsn)
    by_store: dict[tuple[str, str], Rows] = defaultdict(dict)
    for (store, day, video), figures in videos.items():
        by_store[store, day][(video,)] = figures
    wrong = [f"{store} has rows and no account" for store, _ in {*users, *by_store} if store not in lab.accounts]
    for (store, day), reached in (await work_done(lab)).items():
        if store in lab.accounts and store not in lab.allowed.bent:
            truth = await truth_of(lab, store, day)
            wrong += wrong_account(store, users.get((store, day)), account_of(truth), complete=reached["user"])
            found = {video: figures for (video,), figures in by_store[store, day].items()}
            wrong += wrong_videos(store, found, videos_of(truth), pages=reached["video"])
    return wrong


async def work_done(lab: Lab) -> dict[tuple[str, str], dict[str, Any]]:
    """Return for each store and day whether its account was read, and how many pages were, None for all of them."""
    found: dict[tuple[str, str], dict[str, Any]] = defaultdict(lambda: {"user": False, "video": 0})
    for row in await lab.sql(DONE):
        reached = found[row["subject_id"], row["day"]]
        if row["job"] == "user":
            reached["user"] |= row["outcome"] == "SUCCESS"
        elif row["outcome"] == "SUCCESS" or reached["video"] is None:
            reached["video"] = None
        else:
            reached["video"] = max(reached["video"], row["pages"])
    return found


async def truth_of(lab: Lab, store: str, day: str) -> dict[str, Any]:
    """Return what TikTok shows of a store's account."""
    path = f"/sandbox/truth/{lab.accounts[store]}"
    return dict((await asyncio.to_thread(lab.sandbox.control.get, path, params={"day": day})).json())


def wrong_account(store: str, found: tuple[Any, ...] | None, truth: tuple[Any, ...], *, complete: bool) -> list[str]:
    """Return what is wrong with an account's row."""
    if found is None:
        return [f"{store} has no row of its account"] if complete else []
    return [] if found == truth else [f"{store}: the account is {found}, TikTok shows {truth}"]


def wrong_videos(store: str, found: Mapping[str, Any], truth: Mapping[str, Any], *, pages: int | None) -> list[str]:
    """Return what is wrong with a store's videos; without a number of pages all must be there."""
    shown = list(truth) if pages is None else list(truth)[: pages * PAGE]
    missing, foreign = set(shown) - found.keys(), found.keys() - set(shown)
    other = [video for video in found.keys() & truth.keys() if found[video] != truth[video]]
    read = "all" if pages is None else f"{pages}"
    counts = {"missing": len(missing), "not of these": len(foreign), "other figures": len(other)}
    wrong = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return [f"{store}, {read} pages read, {len(found)} videos stored: {wrong}"] if wrong else []
