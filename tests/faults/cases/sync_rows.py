"""PostgreSQL refuses rows of snapshots: for conflicts with others, or for one store alone."""

import asyncpg
from tokhub.sync.v1 import sync_pb2

from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.runs import connect_stores, end_of, endings, items_of, tallied, told, until_true
from tests.faults.sync_invariants import truth_of

CONFLICTS = 3
# Nothing that a sequence counts is undone with the statement that failed.
SERIALIZATION = """
CREATE SEQUENCE reporting.conflicts;
GRANT USAGE ON SEQUENCE reporting.conflicts TO public;
CREATE FUNCTION reporting.conflict() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('reporting.conflicts') <= {count} THEN
        RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER conflict BEFORE INSERT ON reporting.{table} FOR EACH ROW EXECUTE FUNCTION reporting.conflict();
"""
MARKED = """
CREATE FUNCTION reporting.refused() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.subject_id = 'shop-bad' THEN
        RAISE EXCEPTION 'no row of this store';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refused BEFORE INSERT ON reporting.tiktok_user_daily FOR EACH ROW EXECUTE FUNCTION reporting.refused();
CREATE TRIGGER refused BEFORE INSERT ON reporting.tiktok_video_daily FOR EACH ROW EXECUTE FUNCTION reporting.refused();
"""
TOUCH = "UPDATE reporting.tiktok_video_daily SET view_count = view_count WHERE video_id = $1"
WAITS = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'tokhub-sync'"


@case(
    "D12 deadlock",
    fault="somebody else locks the rows of a page in the opposite order: the page's statement is the victim",
    expected="it is repeated and nobody sees it: no attempt is lost, the rows are right",
    videos="20",
)
async def deadlocked(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    await connect_stores(lab, sync, "shop-1")
    await end_of(lab, await sync.begin(sync_pb2.JOB_VIDEO))
    day = (await lab.sql("SELECT max(snapshot_date)::text AS day FROM reporting.sync_runs"))[0]["day"]
    newest, *_, oldest = [video["id"] for video in (await truth_of(lab, "shop-1", day))["videos"]]
    other = await asyncpg.connect(lab.dsn, server_settings={"deadlock_timeout": "60s"})
    try:
        async with other.transaction():
            await other.execute(TOUCH, oldest)
            run_id = await sync.begin(sync_pb2.JOB_VIDEO)
            await until_true(lab, "a page that waits", WAITS)
            await other.execute(TOUCH, newest)
    finally:
        await other.close()
    run = await end_of(lab, run_id)
    [item] = await items_of(lab, run_id)
    deaths = (await lab.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))[0]
    seen = f"{deaths['deadlocks']} deadlock, the item was claimed {item['fence']} times; {told(run)}"
    expect((deaths["deadlocks"], item["fence"], run["state"]) == (1, 1, "succeeded"), seen)
    return seen


@case(
    "D12 serialization",
    fault=f"the first {CONFLICTS} statements that store an account, and as many that store a page, end with 40001",
    expected="they are repeated and nobody sees it",
)
async def not_serializable(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    await connect_stores(lab, sync, "shop-1")
    told_of, claims = [], []
    for job, table in ((sync_pb2.JOB_USER, "tiktok_user_daily"), (sync_pb2.JOB_VIDEO, "tiktok_video_daily")):
        await lab.script(SERIALIZATION.format(count=CONFLICTS, table=table))
        run_id = await sync.begin(job, "shop-1")
        told_of.append(told(await end_of(lab, run_id)))
        claims += [item["fence"] for item in await items_of(lab, run_id)]
        await lab.script("DROP FUNCTION reporting.conflict CASCADE; DROP SEQUENCE reporting.conflicts")
    expect(claims == [1, 1], f"claimed {claims} times; {told_of}")
    return f"{2 * CONFLICTS} conflicts, each item claimed once; {told_of[0]}"


@case(
    "D15 sync",
    fault="no row of one of 40 stores can be stored, neither its account nor its videos",
    expected="that store fails STORAGE_UNAVAILABLE after five attempts; its neighbours are stored at their first",
)
async def one_store_refused(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync(SYNC_CONCURRENCY="60", VIDEO_SYNC_CONCURRENCY="60")
    codes = ["shop-bad", *(f"shop-{number:02}" for number in range(39))]
    await connect_stores(lab, sync, *codes)
    await lab.script(MARKED)
    attempts, seen = [], []
    for job in (sync_pb2.JOB_USER, sync_pb2.JOB_VIDEO):
        run_id = await sync.begin(job)
        run = await end_of(lab, run_id)
        ended = await endings(lab, run_id)
        seen.append(f"{tallied(list(ended.values()))}")
        expect(ended["shop-bad"] == "FAILED STORAGE_UNAVAILABLE" and run["succeeded"] == 39, seen)
        attempts += [item["fence"] for item in await items_of(lab, run_id) if item["subject_id"] != "shop-bad"]
    expect(set(attempts) == {1}, f"neighbours were claimed {sorted(set(attempts))} times")
    await lab.script("DROP FUNCTION reporting.refused CASCADE")
    run = await end_of(lab, await sync.begin(sync_pb2.JOB_ALL, "shop-bad"))
    expect(run["succeeded"] == 1, told(run))
    return f"{'; '.join(seen)}; neighbours claimed once; mended: {told(run)}"
