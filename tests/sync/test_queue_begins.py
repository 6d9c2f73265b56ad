"""The queue begins without an interruption."""

import asyncio
from datetime import timedelta
from functools import partialmethod
from typing import Any

import pytest
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from structlog.testing import capture_logs

from libs.clock import SystemClock
from services.sync.adapters.queue_consumer import QueueConsumer
from services.sync.adapters.stock import StockedQueueManager
from services.sync.domain.items import ItemKey
from services.sync.domain.jobs import Job
from tests.fixtures_postgres import TemplateDatabase
from tests.sync.living_suite import migrate_both

OFTEN = timedelta(seconds=2)


async def nothing(_key: ItemKey) -> None:
    """Work on an item."""


async def test_a_queue_that_listens_late_is_not_interrupted(
    template_database: TemplateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = AsyncpgPoolDriver.add_listener

    async def late(driver: AsyncpgPoolDriver, *channel_and_callback: Any) -> None:
        await SystemClock().sleep(0.2)
        await listen(driver, *channel_and_callback)

    monkeypatch.setattr(AsyncpgPoolDriver, "add_listener", late)
    looking = partialmethod(StockedQueueManager._run_periodic_health_check, OFTEN)
    monkeypatch.setattr(StockedQueueManager, "_run_periodic_health_check", looking)
    stop, dsn = asyncio.Event(), await template_database("sync", migrate_both)
    consumer = QueueConsumer(dsn=dsn, work=nothing, limits={Job.USER: 1}, stop=stop)

    with capture_logs() as lines:
        running = asyncio.create_task(consumer.run())
        await SystemClock().sleep(3 * OFTEN.total_seconds())
        stop.set()
        await running

    assert [line["event"] for line in lines if line["log_level"] != "info"] == []
