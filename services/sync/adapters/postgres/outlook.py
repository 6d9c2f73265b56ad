"""What runs there are and how far they have come, as aggregates in PostgreSQL for Prometheus."""

from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from services.sync.adapters.postgres.database import Database
from services.sync.adapters.postgres.slot_log import SlotLog
from services.sync.core.account_calls import Endpoint
from services.sync.domain.jobs import PARTS, Job
from services.sync.domain.outcomes import Outcome
from services.sync.domain.rate_limit import EndpointBudget, RateLimit

OPEN_ITEMS = "SELECT job, state, count(*) FROM sync_items WHERE state <> 'ended' GROUP BY job, state"
ACTIVE_RUNS = "SELECT state, count(*) FROM sync_runs WHERE state IN ('queued', 'running') GROUP BY state"
OPEN_STATES = ("queued", "running")

# Runs over everything; one of a single store says nothing about how the work as a whole goes.
NEWEST = """
SELECT wanted.job, newest.*, whole.at FROM unnest($1::text[]) AS wanted(job)
CROSS JOIN LATERAL (
    SELECT state IN ('queued', 'running') AS active, total, succeeded, failed, skipped,
        extract(epoch FROM coalesce(finished_at, now()) - coalesce(started_at, created_at))::float8 AS seconds
    FROM sync_runs WHERE scope_key = wanted.job || ':all' AND created_at > now() - interval '32 days'
    ORDER BY created_at DESC LIMIT 1) newest
LEFT JOIN LATERAL (
    SELECT extract(epoch FROM max(finished_at))::float8 AS at FROM sync_runs
    WHERE scope_key = wanted.job || ':all' AND created_at > now() - interval '32 days'
      AND state IN ('succeeded', 'partial')) whole ON true
"""


class Outlook:
    """Looks at what is open and at the newest runs."""

    def __init__(self, *, database: Database, slots: SlotLog) -> None:
        self._database = database
        self._slots = slots

    async def look(self) -> Sequence[Metric]:
        """Return the queue, the active runs, the newest runs over everything, and what is spent of the rate limit."""
        async with self._database.borrow() as connection:
            items = await connection.fetch(OPEN_ITEMS)
            runs = await connection.fetch(ACTIVE_RUNS)
            newest = await connection.fetch(NEWEST, [job.value for job in Job])
        return [
            open_items(items),
            active_runs(runs),
            *newest_runs(newest),
            *budget(await self._slots.state(), self._slots.limit),
        ]


def open_items(rows: Sequence[Any]) -> Metric:
    """Return the depth of the queue."""
    family = GaugeMetricFamily("tokhub_sync_items_open", "Items that have not ended.", labels=["sync_job", "state"])
    found = {(row["job"], row["state"]): row["count"] for row in rows}
    for job in PARTS:
        for state in OPEN_STATES:
            family.add_metric([job, state], found.get((job.value, state), 0))
    return family


def active_runs(rows: Sequence[Any]) -> Metric:
    """Return the runs that have not ended."""
    family = GaugeMetricFamily("tokhub_sync_runs_active", "Runs that have not ended.", labels=["state"])
    found = {row["state"]: row["count"] for row in rows}
    for state in OPEN_STATES:
        family.add_metric([state], found.get(state, 0))
    return family


def newest_runs(rows: Sequence[Any]) -> Iterator[Metric]:
    """Yield the newest run over everything of each job that had one in the last 32 days."""
    active = GaugeMetricFamily(
        "tokhub_sync_run_active", "1 while the newest run over all goes on.", labels=["sync_job"]
    )
    total = GaugeMetricFamily("tokhub_sync_run_subjects", "What the newest run over all covers.", labels=["sync_job"])
    ended = GaugeMetricFamily(
        "tokhub_sync_run_subjects_ended", "What has ended of it, by how.", labels=["sync_job", "outcome"]
    )
    seconds = GaugeMetricFamily(
        "tokhub_sync_run_seconds", "Time from its start until its end, or until now.", labels=["sync_job"]
    )
    whole = GaugeMetricFamily(
        "tokhub_sync_run_last_good_timestamp_seconds",
        "When the last run over all ended in which something succeeded.",
        labels=["sync_job"],
    )
    for row in rows:
        job = [row["job"]]
        active.add_metric(job, row["active"])
        total.add_metric(job, row["total"])
        seconds.add_metric(job, row["seconds"])
        for outcome, count in (
            (Outcome.SUCCESS, row["succeeded"]),
            (Outcome.FAILED, row["failed"]),
            (Outcome.SKIPPED, row["skipped"]),
        ):
            ended.add_metric([*job, outcome], count)
        if row["at"]:
            whole.add_metric(job, row["at"])
    yield from (active, total, ended, seconds, whole)


def budget(spent: Sequence[EndpointBudget], limit: RateLimit) -> Iterator[Metric]:
    """Yield what of the rate limit is spent at this moment, over all replicas, and what may be."""
    used = GaugeMetricFamily(
        "tokhub_tiktok_budget_used", "Calls that count against the rate limit now.", labels=["endpoint"]
    )
    calls = GaugeMetricFamily(
        "tokhub_tiktok_budget_calls",
        "Calls that may count against it: fewer for a time after a 429.",
        labels=["endpoint"],
    )
    unused = {
        endpoint.value: EndpointBudget(endpoint=endpoint, limit=limit.calls, used=0, resumes_at=None)
        for endpoint in Endpoint
    }
    for name, budget in (unused | {one.endpoint: one for one in spent}).items():
        used.add_metric([name], budget.used)
        calls.add_metric([name], budget.limit)
    yield from (used, calls)
