import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from libs.tiktok.display_objects import Account, Video
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.item_rows import ItemRows
from services.sync.adapters.postgres.partitions import Partitions
from services.sync.adapters.postgres.run_creation import RunCreation
from services.sync.adapters.postgres.run_rows import RunRows
from services.sync.adapters.postgres.snapshot_writes import SnapshotWrites
from services.sync.adapters.queue import JobQueue
from services.sync.domain.items import Claim, Ending, ItemKey, LostItem, NotNow
from services.sync.domain.jobs import Job
from services.sync.domain.outcomes import Outcome
from services.sync.domain.runs import PlannedItem, RunPlan, Scope
from services.sync.domain.subjects import Subject
from tests.sync.living_suite import LivingSuite
from tests.sync.sample_run import in_one_portion

DAY = date(2026, 11, 21)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SHOP = Subject.store("shop")


class Tables:
    """The adapters over one database, without a service that would work on what they hold."""

    def __init__(self, database: Database) -> None:
        self.items = ItemRows(database)
        self.snapshots = SnapshotWrites(database)
        self.runs = RunCreation(database=database, runs=RunRows(database), queue=JobQueue())

    async def run(self, *jobs: Job, subjects: tuple[Subject, ...] = (SHOP,)) -> str:
        scope = Scope(Job.ALL, Subject.store(uuid4().hex))
        items = in_one_portion(*(PlannedItem(job=job, subject=subject) for subject in subjects for job in jobs))
        plan = RunPlan(scope=scope, idempotency_key=None, snapshot_date=DAY, portions=items)
        return (await self.runs.create(plan)).id

    async def claim(self, run_id: str, job: Job, subject: Subject = SHOP) -> Claim:
        claim = await self.items.claim(ItemKey(run_id, job, subject))
        assert isinstance(claim, Claim)
        return claim

    async def claims(self, job: Job) -> list[Claim]:
        """Claim the items of a run over three stores."""
        subjects = tuple(Subject.store(f"shop_{number}") for number in range(3))
        run_id = await self.run(job, subjects=subjects)
        return [await self.claim(run_id, job, subject) for subject in subjects]

    async def end(self, claims: list[Claim]) -> None:
        done = Ending(outcome=Outcome.SUCCESS, message="done")
        await asyncio.gather(*(self.items.end(claim, done) for claim in claims))


@pytest.fixture
async def tables(suite: LivingSuite) -> Tables:
    database = Database(suite.reporting)
    await Partitions(database).prepare(DAY)
    return Tables(database)


def videos(*names: str, views: int = 1) -> tuple[Video, ...]:
    return tuple(Video(id=name, view_count=views) for name in names)


async def test_a_stale_workers_page_is_refused(suite: LivingSuite, tables: Tables) -> None:
    run_id = await tables.run(Job.VIDEO)
    stale = await tables.claim(run_id, Job.VIDEO)
    fresh = await tables.claim(run_id, Job.VIDEO)
    await tables.snapshots.save_videos(fresh, videos("a"), cursor=50, fetched_at=NOON)
    with pytest.raises(LostItem):
        await tables.snapshots.save_videos(stale, videos("a", "b", views=9), cursor=99, fetched_at=NOON)
    stored = await suite.pool.fetch("SELECT video_id, view_count FROM reporting.tiktok_video_daily")
    assert [tuple(row) for row in stored] == [("a", 1)]
    assert await suite.pool.fetchval("SELECT cursor FROM reporting.sync_items") == 50


async def test_a_stale_worker_cannot_store_an_account(suite: LivingSuite, tables: Tables) -> None:
    run_id = await tables.run(Job.USER)
    stale = await tables.claim(run_id, Job.USER)
    await tables.claim(run_id, Job.USER)
    with pytest.raises(LostItem):
        await tables.snapshots.save_account(stale, Account(), NOON)
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.tiktok_user_daily") == 0


async def test_a_page_whose_fence_is_lost_stops_no_neighbour(suite: LivingSuite, tables: Tables) -> None:
    claims = await tables.claims(Job.VIDEO)
    await tables.claim(claims[1].key.run_id, Job.VIDEO, claims[1].key.subject)
    pages = (
        tables.snapshots.save_videos(claim, videos("a", "b"), cursor=number, fetched_at=NOON)
        for number, claim in enumerate(claims)
    )
    first, lost, last = await asyncio.gather(*pages, return_exceptions=True)
    assert isinstance(lost, LostItem)
    assert [page.records for page in (first, last) if isinstance(page, Claim)] == [2, 2]
    stored = "SELECT subject_id, count(*) FROM reporting.tiktok_video_daily GROUP BY 1 ORDER BY 1"
    assert [tuple(row) for row in await suite.pool.fetch(stored)] == [("shop_0", 2), ("shop_2", 2)]
    items = await suite.pool.fetch("SELECT cursor, pages FROM reporting.sync_items ORDER BY subject_id")
    assert [tuple(row) for row in items] == [(0, 1), (None, 0), (2, 1)]


async def test_an_account_whose_fence_is_lost_stops_no_neighbour(suite: LivingSuite, tables: Tables) -> None:
    claims = await tables.claims(Job.USER)
    await tables.claim(claims[1].key.run_id, Job.USER, claims[1].key.subject)
    accounts = (tables.snapshots.save_account(claim, Account(), NOON) for claim in claims)
    ends = await asyncio.gather(*accounts, return_exceptions=True)
    assert [isinstance(end, LostItem) for end in ends] == [False, True, False]
    stored = await suite.pool.fetch("SELECT subject_id FROM reporting.tiktok_user_daily ORDER BY 1")
    assert [row["subject_id"] for row in stored] == ["shop_0", "shop_2"]


async def test_accounts_stored_together_leave_no_column_out(suite: LivingSuite, tables: Tables) -> None:
    counts = {"follower_count": 1, "following_count": 2, "likes_count": 3, "video_count": 4}
    account = Account(open_id="id", display_name="Name", avatar_url="https://a", username="name", **counts)
    # The second run finds rows, and what they say is replaced.
    for reading in (Account(), account):
        claims = await tables.claims(Job.USER)
        await asyncio.gather(*(tables.snapshots.save_account(claim, reading, NOON) for claim in claims))
        await tables.end(claims)
    rows = await suite.pool.fetch("SELECT * FROM reporting.tiktok_user_daily")
    assert [None in row.values() for row in rows] == [False] * 3
    assert {str(row["run_id"]) for row in rows} == {claims[0].key.run_id}


async def test_videos_stored_together_leave_no_column_out(suite: LivingSuite, tables: Tables) -> None:
    counts = {"view_count": 1, "like_count": 2, "comment_count": 3, "share_count": 4}
    video = Video(id="a", posted_at=1_700_000_000, description="text", **counts)
    for reading in (Video(id="a"), video):
        claims = await tables.claims(Job.VIDEO)
        await asyncio.gather(
            *(tables.snapshots.save_videos(claim, (reading,), cursor=None, fetched_at=NOON) for claim in claims)
        )
        await tables.end(claims)
    rows = await suite.pool.fetch("SELECT * FROM reporting.tiktok_video_daily")
    assert [None in row.values() for row in rows] == [False] * 3
    assert {str(row["run_id"]) for row in rows} == {claims[0].key.run_id}


async def test_a_stale_worker_cannot_end_its_item(suite: LivingSuite, tables: Tables) -> None:
    run_id = await tables.run(Job.USER)
    stale = await tables.claim(run_id, Job.USER)
    await tables.claim(run_id, Job.USER)
    with pytest.raises(LostItem):
        await tables.items.end(stale, Ending(outcome=Outcome.SUCCESS, message="done"))
    run = await suite.row("SELECT state, processed FROM reporting.sync_runs")
    assert tuple(run) == ("running", 0)


async def test_a_page_and_its_cursor_are_stored_together(suite: LivingSuite, tables: Tables) -> None:
    claim = await tables.claim(await tables.run(Job.VIDEO), Job.VIDEO)
    # The rows are in order; the cursor does not fit its column.
    with pytest.raises(asyncpg.DataError):
        await tables.snapshots.save_videos(claim, videos("a"), cursor=1 << 70, fetched_at=NOON)
    assert await suite.pool.fetchval("SELECT count(*) FROM reporting.tiktok_video_daily") == 0
    assert await suite.pool.fetchval("SELECT pages FROM reporting.sync_items") == 0


async def test_a_claim_goes_on_from_the_stored_page(tables: Tables) -> None:
    run_id = await tables.run(Job.VIDEO)
    claim = await tables.claim(run_id, Job.VIDEO)
    await tables.snapshots.save_videos(claim, videos("a", "b"), cursor=50, fetched_at=NOON)
    again = await tables.claim(run_id, Job.VIDEO)
    assert (again.cursor, again.pages, again.records, again.fence) == (50, 1, 2, claim.fence + 1)


async def test_a_video_that_comes_on_two_pages_counts_once(tables: Tables) -> None:
    claim = await tables.claim(await tables.run(Job.VIDEO), Job.VIDEO)
    claim = await tables.snapshots.save_videos(claim, videos("a", "b"), cursor=50, fetched_at=NOON)
    claim = await tables.snapshots.save_videos(claim, videos("b", "c"), cursor=None, fetched_at=NOON)
    assert claim.records == 3


async def test_an_older_reading_never_replaces_a_newer_one(suite: LivingSuite, tables: Tables) -> None:
    claim = await tables.claim(await tables.run(Job.VIDEO), Job.VIDEO)
    await tables.snapshots.save_videos(claim, videos("a", views=7), cursor=1, fetched_at=NOON)
    earlier = NOON - timedelta(seconds=1)
    await tables.snapshots.save_videos(claim, videos("a", views=5), cursor=None, fetched_at=earlier)
    assert await suite.pool.fetchval("SELECT view_count FROM reporting.tiktok_video_daily") == 7


async def test_what_one_run_works_on_another_waits_for(tables: Tables) -> None:
    first, second = await tables.run(Job.VIDEO), await tables.run(Job.VIDEO)
    claim = await tables.claim(first, Job.VIDEO)
    waiting = await tables.items.claim(ItemKey(second, Job.VIDEO, SHOP))
    assert isinstance(waiting, NotNow)
    await tables.items.end(claim, Ending(outcome=Outcome.SUCCESS, message="done"))
    assert isinstance(await tables.items.claim(ItemKey(second, Job.VIDEO, SHOP)), Claim)


async def test_an_ended_item_is_not_claimed_again(tables: Tables) -> None:
    run_id = await tables.run(Job.USER)
    await tables.items.end(await tables.claim(run_id, Job.USER), Ending(outcome=Outcome.SUCCESS, message="done"))
    assert await tables.items.claim(ItemKey(run_id, Job.USER, SHOP)) is None


async def test_counters_are_exact_when_everything_ends_at_once(suite: LivingSuite, tables: Tables) -> None:
    subjects = tuple(Subject.store(f"shop_{number}") for number in range(12))
    jobs = (Job.USER, Job.VIDEO, Job.REFRESH_TOKENS)
    run_id = await tables.run(*jobs, subjects=subjects)
    claims = [await tables.claim(run_id, job, subject) for subject in subjects for job in jobs]
    ending = Ending(outcome=Outcome.SUCCESS, message="done", records=2)
    failing = replace(ending, outcome=Outcome.FAILED)
    await asyncio.gather(
        *(tables.items.end(claim, failing if claim.key == claims[-1].key else ending) for claim in claims)
    )
    run = await suite.row("SELECT * FROM reporting.sync_runs")
    assert (run["processed"], run["succeeded"], run["failed"], run["state"]) == (12, 11, 1, "partial")
    assert (run["videos"], run["sequence"]) == (24, len(claims) + 1)
    closing = "SELECT count(*), count(DISTINCT ended_sequence) FROM reporting.sync_items WHERE closes_subject"
    assert tuple(await suite.row(closing)) == (12, 12)


async def test_a_stale_worker_fails_alone_among_those_that_end(suite: LivingSuite, tables: Tables) -> None:
    subjects = tuple(Subject.store(f"shop_{number}") for number in range(3))
    run_id = await tables.run(Job.USER, subjects=subjects)
    claims = [await tables.claim(run_id, Job.USER, subject) for subject in subjects]
    again = await tables.claim(run_id, Job.USER, subjects[0])
    done = Ending(outcome=Outcome.SUCCESS, message="done")
    ends = await asyncio.gather(*(tables.items.end(claim, done) for claim in (*claims, again)), return_exceptions=True)
    assert [isinstance(end, LostItem) for end in ends] == [True, False, False, False]
    run = await suite.row("SELECT state, processed FROM reporting.sync_runs")
    assert tuple(run) == ("succeeded", 3)


async def test_items_of_two_runs_are_claimed_and_ended_together(suite: LivingSuite, tables: Tables) -> None:
    runs = [await tables.run(Job.USER, subjects=(Subject.store(name),)) for name in ("a", "b")]
    keys = [ItemKey(run_id, Job.USER, Subject.store(name)) for run_id, name in zip(runs, ("a", "b"), strict=True)]
    claims = await asyncio.gather(*(tables.items.claim(key) for key in keys))
    done = Ending(outcome=Outcome.SUCCESS, message="done")
    await asyncio.gather(*(tables.items.end(claim, done) for claim in claims if isinstance(claim, Claim)))
    rows = await suite.pool.fetch("SELECT state, processed FROM reporting.sync_runs")
    assert [tuple(row) for row in rows] == [("succeeded", 1)] * 2


async def test_who_is_busy_elsewhere_holds_up_nobody_else(tables: Tables) -> None:
    await tables.claim(await tables.run(Job.USER), Job.USER)
    second = await tables.run(Job.USER, subjects=(SHOP, Subject.store("other")))
    keys = [ItemKey(second, Job.USER, subject) for subject in (SHOP, Subject.store("other"))]
    busy, free = await asyncio.gather(*(tables.items.claim(key) for key in keys))
    assert isinstance(busy, NotNow)
    assert isinstance(free, Claim)
