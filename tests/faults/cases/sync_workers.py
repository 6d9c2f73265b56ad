"""Sync services die in the middle of their pages; others, or they themselves later, go on where they were."""

import asyncio

from tokhub.sync.v1 import sync_pb2

from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.runs import connect_stores, end_of, items_of, mint_stores, sync_calls, told, until_true

PAGES = 10
REDELIVERED_WITHIN = 30.0  # seconds; a dead worker's items are delivered again after seven
AT_PAGE = "SELECT bool_or(pages >= $1) FROM reporting.sync_items"
MANY = 3_000


async def killed_at(lab: Lab, point: str, *, calls: int) -> str:
    """Kill a worker at its third page; another one goes on there, with so many calls for the store in all."""
    await lab.replica()
    other, victim = await asyncio.gather(lab.sync("other"), lab.sync("victim", fail=f"{point}=kill9@3"))
    await connect_stores(lab, victim, "shop-1")
    other.pause()
    run_id = await victim.begin(sync_pb2.JOB_VIDEO)
    await victim.ended()
    had = (await items_of(lab, run_id))[0]["pages"]
    other.resume()
    stalled = await until_true(lab, "another page", AT_PAGE, had + 1)
    expect(stalled <= REDELIVERED_WITHIN, f"stood still for {stalled:.0f} s")
    run = await end_of(lab, run_id)
    found = (await sync_calls(lab, "shop-1"))["video_list"]
    expect((run["state"], run["videos"], found) == ("succeeded", 200, calls), f"{told(run)}, {found} calls")
    return f"{had} pages stored, stood still for {stalled:.0f} s, {found} calls for {PAGES} pages, {told(run)}"


@case(
    "P08 fetched",
    fault="kill -9 of a sync worker with page 3 of 10 fetched and not stored",
    expected="another replica goes on at page 3 within half a minute: that page is asked for twice, no other",
    videos="200",
)
async def killed_before_the_page(lab: Lab) -> str:
    return await killed_at(lab, "before_page_commit", calls=PAGES + 1)


@case(
    "P08 stored",
    fault="kill -9 of a sync worker right after page 3 of 10 was stored",
    expected="another replica goes on at page 4 within half a minute: no page is asked for twice",
    videos="200",
)
async def killed_behind_the_page(lab: Lab) -> str:
    return await killed_at(lab, "after_page_commit", calls=PAGES)


@case(
    "P08 ended",
    fault="kill -9 of a sync worker between the last page and the end of its item, and right after that end",
    expected="the end is written once, by whoever comes next; no call is made again",
)
async def killed_around_the_end(lab: Lab) -> str:
    await lab.replica()
    before, after = await asyncio.gather(
        lab.sync("before", fail="before_end=kill9"), lab.sync("after", fail="after_end=kill9")
    )
    await connect_stores(lab, after, "shop-1")
    after.pause()
    run_id = await before.begin(sync_pb2.JOB_USER)
    await before.ended()
    after.resume()
    await after.ended()
    run = await end_of(lab, run_id)
    heir = await lab.sync("heir")
    again = await end_of(lab, await heir.begin(sync_pb2.JOB_VIDEO))
    found = (await sync_calls(lab, "shop-1"))["user_info"]
    expect((run["state"], again["state"], found) == ("succeeded", "succeeded", 2), f"{told(run)}, {found} calls")
    return f"{told(run)}, {found} calls; the next run {told(again)}"


@case(
    "P09",
    fault="kill -9 of all three sync replicas in the middle of a run, then one is started",
    expected="the same run goes on: no page that was stored is asked for again",
    videos="100",
)
async def all_killed(lab: Lab) -> str:
    await lab.replica()
    replicas = await asyncio.gather(*(lab.sync(name, VIDEO_SYNC_CONCURRENCY="3") for name in ("a", "b", "c")))
    codes = [f"shop-{number:02}" for number in range(18)]
    await connect_stores(lab, replicas[0], *codes)
    run_id = await replicas[0].begin(sync_pb2.JOB_VIDEO)
    await until_true(lab, "items under way", "SELECT sum(pages) >= 12 FROM reporting.sync_items")
    await asyncio.gather(*(replica.kill() for replica in replicas))
    had = sum(row["pages"] for row in await items_of(lab, run_id))
    heir = await lab.sync("heir")
    run = await end_of(lab, run_id)
    calls = sum([(await sync_calls(lab, code))["video_list"] for code in codes])
    seen = f"{had} of 90 pages stored, {calls} calls in all, {told(run)}"
    # Nine pages were in hand when all died; nothing else is asked for again.
    expect(run["succeeded"] == 18 and 0 < had < 90 and calls <= 99, seen)
    expect(heir.accepted == (), "the run was started again")
    return seen


@case(
    "P08 many",
    fault="3,000 stores on three replicas: kill -9 of one and later of another, and one more is started",
    expected="every store exactly once, every row as TikTok shows it",
    within=600,
    accounts=str(MANY),
    videos="25",
)
async def many_stores(lab: Lab) -> str:
    await lab.replica()
    first, second, third = await asyncio.gather(*(lab.sync(name) for name in ("first", "second", "third")))
    await mint_stores(lab, MANY)
    run_id = await third.begin(sync_pb2.JOB_ALL)
    await processed(lab, run_id, MANY // 5)
    await first.kill()
    await processed(lab, run_id, MANY // 2)
    await second.kill()
    await lab.sync("fourth")
    run = await end_of(lab, run_id, within=400)
    once = await third.client.end_of(run_id)
    named = {ended.store_code for ended in once.ended_stores}
    took = (run["finished_at"] - run["started_at"]).total_seconds()
    seen = f"{told(run)} in {took:.0f} s, {run['videos']} videos; told to a watcher: {len(once.ended_stores)} stores"
    expect((run["succeeded"], len(named), len(once.ended_stores)) == (MANY, MANY, MANY), seen)
    return seen


async def processed(lab: Lab, run_id: str, stores: int) -> None:
    """Wait until a run has ended for so many stores."""
    query = "SELECT processed >= $2 FROM reporting.sync_runs WHERE id = $1::uuid"
    await until_true(lab, f"{stores} stores", query, run_id, stores, within=300)
