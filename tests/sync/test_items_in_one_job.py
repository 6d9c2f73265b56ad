"""Items of a large run share jobs of the queue, and none of them has to wait for another or is lost by it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest
from structlog.testing import capture_logs

from libs.database.pool import Pool, open_pool
from services.sync.adapters.orphans import Orphans
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.queue import JobQueue
from services.sync.adapters.queue_consumer import QueueConsumer, Work
from services.sync.adapters.queued_jobs import JOBS_TO_SHARE, TOGETHER
from services.sync.domain.items import ItemKey
from services.sync.domain.jobs import Job
from services.sync.domain.subjects import Subject
from tests.fixtures_postgres import TemplateDatabase
from tests.sync.living_suite import JOB_USER, LivingSuite, migrate_both

RUN = "7f9c24e5-2c0a-4f57-9d3e-1f5a6b7c8d90"
FEW = [ItemKey(RUN, Job.USER, Subject.store(f"shop_{number}")) for number in range(2 * JOBS_TO_SHARE - 1)]
MANY = [ItemKey(RUN, Job.USER, Subject.store(f"shop_{number}")) for number in range(5 * JOBS_TO_SHARE)]
UNLUCKY = MANY[0]
TRACED = """
UPDATE reporting.pgqueuer SET payload =
    convert_to((convert_from(payload, 'UTF8')::jsonb || jsonb_build_object('traceparent', $1::text))::text, 'UTF8')
"""
AGED = "UPDATE reporting.sync_items SET updated_at = now() - interval '1 minute'"


class Queue:
    """The queue of a database, and what was worked on how often."""

    def __init__(self, dsn: str, pool: Pool) -> None:
        self._dsn = dsn
        self._pool = pool
        self.attempts: Counter[ItemKey] = Counter()

    async def share_out(self, keys: list[ItemKey]) -> None:
        async with self._pool.acquire() as connection:
            await JobQueue().share_out(connection, keys)

    async def jobs(self) -> list[asyncpg.Record]:
        return await self._pool.fetch("SELECT entrypoint, dedupe_key, payload FROM reporting.pgqueuer ORDER BY id")

    async def trace(self, traceparent: str) -> None:
        await self._pool.execute(TRACED, traceparent)

    async def work_until(self, done: asyncio.Event, work: Work) -> None:
        async def counted(key: ItemKey) -> float | None:
            self.attempts[key] += 1
            return await work(key)

        stop = asyncio.Event()
        consumer = QueueConsumer(dsn=self._dsn, work=counted, limits={Job.USER: 10}, stop=stop)
        consuming = asyncio.create_task(consumer.run())
        async with asyncio.timeout(60):
            await done.wait()
        stop.set()
        await consuming


@pytest.fixture
async def queue(template_database: TemplateDatabase) -> AsyncIterator[Queue]:
    dsn = await template_database("sync", migrate_both)
    async with open_pool(dsn, application="test", schema="reporting") as pool:
        yield Queue(dsn, pool)


async def test_many_items_come_in_few_jobs_each_once(queue: Queue) -> None:
    await queue.share_out(MANY)
    brought = [json.loads(job["payload"])["items"] for job in await queue.jobs()]
    assert {len(items) for items in brought} == {5}
    assert sorted(name for items in brought for _, name in items) == sorted(key.subject.id for key in MANY)


async def test_no_job_of_a_very_large_run_brings_more_than_some(queue: Queue) -> None:
    await queue.share_out([ItemKey(RUN, Job.USER, Subject.store(str(number))) for number in range(5_000)])
    assert {len(json.loads(job["payload"])["items"]) for job in await queue.jobs()} == {TOGETHER}


async def test_few_items_come_alone_so_that_replicas_share_them(queue: Queue) -> None:
    await queue.share_out(FEW)
    assert [job["entrypoint"] for job in await queue.jobs()] == [Job.USER] * len(FEW)


async def test_all_items_of_shared_jobs_are_worked_on_once(queue: Queue) -> None:
    await queue.share_out(MANY)
    done = asyncio.Event()

    async def work(_key: ItemKey) -> None:
        if len(queue.attempts) == len(MANY):
            done.set()

    await queue.work_until(done, work)
    assert queue.attempts == Counter(MANY)
    assert await queue.jobs() == []


async def test_an_item_that_waits_does_so_apart_while_a_slow_one_goes_on(queue: Queue) -> None:
    await queue.share_out(MANY)
    done, slow = asyncio.Event(), MANY[1]

    async def work(key: ItemKey) -> float | None:
        if key == slow:
            await done.wait()
        if key == UNLUCKY and queue.attempts[key] == 1:
            return 0.05
        if key == UNLUCKY:
            done.set()
        return None

    await queue.work_until(done, work)
    assert (queue.attempts[UNLUCKY], queue.attempts[slow]) == (2, 1)


async def test_an_item_that_leaves_for_its_own_job_stays_in_its_trace(queue: Queue) -> None:
    await queue.share_out(MANY)
    await queue.trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    begun = asyncio.Event()

    async def work(key: ItemKey) -> float | None:
        begun.set()
        return 60.0 if key == UNLUCKY else None

    await queue.work_until(begun, work)
    assert all("traceparent" in json.loads(job["payload"]) for job in await queue.jobs())
    assert (await queue.jobs())[-1]["entrypoint"] == Job.USER


async def test_items_come_once_more_when_one_could_not_be_worked_on(queue: Queue) -> None:
    await queue.share_out(MANY)
    done = asyncio.Event()

    async def work(key: ItemKey) -> None:
        if key == UNLUCKY and queue.attempts[key] == 1:
            raise asyncpg.InternalClientError
        if key == UNLUCKY:
            done.set()

    with capture_logs() as lines:
        await queue.work_until(done, work)
    assert [line["subject"] for line in lines if "exc_info" in line] == [UNLUCKY.subject.id]
    assert queue.attempts[UNLUCKY] == 2
    assert queue.attempts.keys() == set(MANY)


async def test_a_stopped_replica_leaves_each_item_a_job(queue: Queue) -> None:
    await queue.share_out(MANY)
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def work(_key: ItemKey) -> float:
        begun.set()
        await asyncio.wait_for(stopped.wait(), 60)
        return 0.0

    working = asyncio.create_task(queue.work_until(begun, work))
    await begun.wait()
    stopped.set()
    await working
    left: Counter[str] = Counter()
    for job in await queue.jobs():
        content = json.loads(job["payload"])
        left.update([content["id"]] if "id" in content else [name for _, name in content["items"]])
    assert left == Counter(key.subject.id for key in MANY)


async def test_only_items_without_any_job_are_queued_again(suite: LivingSuite) -> None:
    orphans = Orphans(database=Database(suite.reporting), queue=JobQueue())
    await suite.connect("shop")
    await suite.connect_copies("shop", 2 * JOBS_TO_SHARE)
    async with suite.replica() as idle:
        idle.stop.set()
        await idle.start(JOB_USER)
    await suite.pool.execute(AGED)
    carried = await orphans.requeue()
    await suite.pool.execute("DELETE FROM reporting.pgqueuer WHERE id = (SELECT min(id) FROM reporting.pgqueuer)")
    assert (carried, await orphans.requeue(), await orphans.requeue()) == (0, 2, 0)
