"""A run is started: planned from the connections there are, and stored with its work in one transaction."""

from collections.abc import Collection
from datetime import date
from typing import Protocol

from libs.errors import ConnectionNotFound, StoreNotFound
from services.sync.core.calendar import Calendar
from services.sync.domain.connections import Connection, Standing
from services.sync.domain.runs import Run, RunPlan, Scope, plan_items
from services.sync.domain.subjects import Subject, SubjectKind


class Connections(Protocol):
    """Knows which subjects are connected."""

    async def of_stores(self) -> tuple[Connection, ...]:
        """Return the connections of all stores."""
        ...

    async def of(self, subject: Subject) -> Connection:
        """Return one subject's connection; ConnectionNotFound when there never was one."""
        ...


class KnownStores(Protocol):
    """Tells which stores there are."""

    async def existing(self, store_codes: Collection[str]) -> frozenset[str]:
        """Return those of the codes that are stores."""
        ...


class Runs(Protocol):
    """Where runs are kept."""

    async def already_started(self, scope: Scope, idempotency_key: str | None) -> Run | None:
        """Return the run that was started with the key; RunAlreadyActive when another one of the scope is active."""
        ...

    async def create(self, plan: RunPlan) -> Run:
        """Store the run, its items and their jobs; what already_started says holds against races too."""
        ...


class Partitions(Protocol):
    """Room for the snapshots of a day."""

    async def prepare(self, day: date) -> None:
        """Make sure that the months around the day have partitions."""
        ...


class RunStarter:
    """Starts runs."""

    def __init__(
        self,
        *,
        connections: Connections,
        stores: KnownStores,
        runs: Runs,
        partitions: Partitions,
        calendar: Calendar,
    ) -> None:
        self._connections = connections
        self._stores = stores
        self._runs = runs
        self._partitions = partitions
        self._calendar = calendar

    async def start(self, scope: Scope, idempotency_key: str | None) -> Run:
        """Return the run; StoreNotFound, ConnectionNotFound, RunAlreadyActive with metadata run_id."""
        if known := await self._runs.already_started(scope, idempotency_key):
            return known
        connections = await self._connections_within(scope)
        today = self._calendar.today()
        await self._partitions.prepare(today)
        plan = RunPlan(
            scope=scope,
            idempotency_key=idempotency_key,
            snapshot_date=today,
            items=plan_items(scope.job, connections),
        )
        return await self._runs.create(plan)

    async def _connections_within(self, scope: Scope) -> tuple[Connection, ...]:
        if scope.subject is not None:
            return (await self._one(scope.subject),)
        connections = await self._connections.of_stores()
        existing = await self._stores.existing([connection.subject.id for connection in connections])
        return tuple(connection for connection in connections if connection.subject.id in existing)

    async def _one(self, subject: Subject) -> Connection:
        if subject.kind is SubjectKind.STORE and not await self._stores.existing([subject.id]):
            raise StoreNotFound
        connection = await self._connections.of(subject)
        if connection.standing is Standing.DISCONNECTED:
            raise ConnectionNotFound("The TikTok account was disconnected: connect it again.")
        return connection
