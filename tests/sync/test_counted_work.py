"""What this process has done is counted: items by how they end, calls by how TikTok answers."""

from datetime import date

import pytest
from prometheus_client import CollectorRegistry

from libs.clock import SystemClock
from libs.errors import UpstreamUnavailable
from libs.secret import Secret
from libs.tiktok.display import DisplayClient
from libs.tiktok.transport import Transport
from services.sync.adapters.metered_display import MeteredDisplay
from services.sync.adapters.metered_items import MeteredItems
from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.item_rows import ItemRows
from services.sync.adapters.postgres.run_creation import RunCreation
from services.sync.adapters.postgres.run_rows import RunRows
from services.sync.adapters.queue import JobQueue
from services.sync.domain.items import Claim, Ending, ItemKey
from services.sync.domain.jobs import Job
from services.sync.domain.outcomes import Outcome
from services.sync.domain.runs import PlannedItem, RunPlan, Scope
from services.sync.domain.subjects import Subject
from tests.sync.living_suite import LivingSuite
from tests.sync.sample_run import in_one_portion

NOWHERE = "http://127.0.0.1:1"  # nothing listens there


async def test_items_are_counted_by_how_they_end(suite: LivingSuite) -> None:
    database, registry = Database(suite.reporting), CollectorRegistry()
    items = MeteredItems(items=ItemRows(database), registry=registry)
    subjects = [Subject.store(f"shop_{number}") for number in range(3)]
    planned = in_one_portion(*(PlannedItem(job=Job.USER, subject=subject) for subject in subjects))
    plan = RunPlan(
        scope=Scope(Job.USER, None), idempotency_key=None, snapshot_date=date(2026, 11, 21), portions=planned
    )
    run = await RunCreation(database=database, runs=RunRows(database), queue=JobQueue()).create(plan)
    for subject, outcome in zip(subjects, (Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILED), strict=True):
        claim = await items.claim(ItemKey(run.id, Job.USER, subject))
        assert isinstance(claim, Claim)
        await items.end(claim, Ending(outcome=outcome, message="done"))

    counted = [
        registry.get_sample_value(
            "tokhub_sync_items_total", {"sync_job": "user", "outcome": outcome.value, "reason": ""}
        )
        for outcome in (Outcome.SUCCESS, Outcome.FAILED)
    ]
    assert counted == [2, 1]


async def test_calls_are_counted_by_how_they_are_answered() -> None:
    registry = CollectorRegistry()
    async with Transport() as transport:
        client = DisplayClient(origin=NOWHERE, sender=transport, clock=SystemClock())
        display = MeteredDisplay(client=client, registry=registry)
        for _ in range(2):
            with pytest.raises(UpstreamUnavailable):
                await display.video_page(Secret("nothing"), None)

    labels = {"endpoint": "video/list", "outcome": "UPSTREAM_UNAVAILABLE"}
    assert registry.get_sample_value("tokhub_tiktok_calls_total", labels) == 2
