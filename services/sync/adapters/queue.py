"""Adds jobs to PgQueuer's queue, in its schema whatever the environment says."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.ports import RepositoryPort
from pgqueuer.ports.driver import Driver

from libs.database.pool import Borrowed
from libs.tracing import carried
from services.sync.adapters.queue_schema import queue_settings
from services.sync.adapters.queued_jobs import NewJob, alone, shared_out
from services.sync.domain.items import ItemKey


def queries_over(driver: Driver) -> Queries:
    """Return PgQueuer's queries, in our schema."""
    settings = queue_settings()
    return Queries(
        driver,
        qbe=QueryBuilderEnvironment(settings),
        qbq=QueryQueueBuilder(settings),
        qbs=QuerySchedulerBuilder(settings),
    )


class JobQueue:
    """Adds jobs within the connection's transaction; an item that has a job of its own gets no second."""

    async def enqueue(self, connection: Borrowed, keys: Iterable[ItemKey], *, is_urgent: bool) -> None:
        """Add a job for each item."""
        trace = carried()
        await add(over(connection), [alone(key, trace=trace, is_urgent=is_urgent) for key in keys])

    async def share_out(self, connection: Borrowed, keys: Iterable[ItemKey]) -> None:
        """Add jobs for many new items that nobody waits for."""
        await add(over(connection), shared_out(keys, carried()))


def over(connection: Borrowed) -> Queries:
    """Return PgQueuer's queries on a connection."""
    return queries_over(AsyncpgDriver(connection))  # type: ignore[arg-type]  # it has the methods of a connection


async def add(queries: RepositoryPort, jobs: Sequence[NewJob], *, after: timedelta | None = None) -> None:
    """Add jobs, to be taken after that time; not those of a name that is queued or at work."""
    if jobs:
        await queries.enqueue(
            [job.entrypoint for job in jobs],
            [job.payload for job in jobs],
            [job.priority for job in jobs],
            [after] * len(jobs),
            [job.name for job in jobs],
            on_conflict="skip",
        )
