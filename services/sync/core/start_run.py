"""A run is started: planned from the connections there are, and stored with its work in one transaction."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from libs.detached import DetachedTasks
from libs.errors import ConnectionNotFound, ReauthRequired, StoreNotFound
from services.sync.core.calendar import Calendar
from services.sync.domain.connections import Connection, Standing
from services.sync.domain.links import ConnectLinks
from services.sync.domain.planning import plan_items
from services.sync.domain.runs import PlannedItem, Run, RunPlan, Scope
from services.sync.domain.schedules import Tick
from services.sync.domain.subjects import Subject, SubjectKind

NAMED = 5  # unknown stores that an error names


class Connections(Protocol):
    """Knows which subjects are connected."""

    def of_stores(self) -> AsyncIterator[tuple[Connection, ...]]:
        """Yield the connections of all stores, page by page."""
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


@dataclass(frozen=True, kw_only=True)
class Roster:
    """What a run is planned from: the stores there are, how their connections stand, and where owners connect."""

    connections: Connections
    stores: KnownStores
    links: ConnectLinks

    async def plan(self, scope: Scope) -> AsyncIterator[tuple[PlannedItem, ...]]:
        """Yield the items of a run in portions; StoreNotFound, ConnectionNotFound, ReauthRequired before the first."""
        async for connections in self._within(scope):
            yield plan_items(scope, connections, self.links)

    async def _within(self, scope: Scope) -> AsyncIterator[tuple[Connection, ...]]:
        if scope.subject is not None:
            yield (await self._only(scope.subject),)
        elif scope.listed:
            yield await self._listed(scope.listed)
        else:
            async for connections in self.connections.of_stores():
                existing = await self.stores.existing([connection.subject.id for connection in connections])
                yield tuple(connection for connection in connections if connection.subject.id in existing)

    async def _only(self, subject: Subject) -> Connection:
        if subject.kind is SubjectKind.STORE and not await self.stores.existing([subject.id]):
            raise StoreNotFound
        connection = await self.connections.of(subject)
        if connection.standing is Standing.DISCONNECTED:
            raise ReauthRequired("The TikTok account was disconnected: connect it again.")
        return connection

    async def _listed(self, subjects: tuple[Subject, ...]) -> tuple[Connection, ...]:
        codes = [subject.id for subject in subjects]
        unknown = sorted(set(codes) - await self.stores.existing(codes))
        if unknown:
            raise StoreNotFound(f"Store not found: {', '.join(unknown[:NAMED])}{' and more' * (len(unknown) > NAMED)}")
        return tuple([await self._standing(subject) for subject in subjects])

    async def _standing(self, subject: Subject) -> Connection:
        try:
            return await self.connections.of(subject)
        except ConnectionNotFound:
            return Connection(subject, Standing.NEVER_CONNECTED)


class RunStarter:
    """Starts runs."""

    def __init__(self, *, roster: Roster, runs: Runs, partitions: Partitions, calendar: Calendar) -> None:
        self._roster = roster
        self._runs = runs
        self._partitions = partitions
        self._calendar = calendar
        # A large run is stored while its stores are still being read: of many that start at once in a process, those
        # that wait for the first would hold the database connections it needs.
        self._large = asyncio.Lock()
        self._starting = DetachedTasks()

    async def start(self, scope: Scope, idempotency_key: str | None, tick: Tick | None = None) -> Run:
        """Return the run; StoreNotFound, ConnectionNotFound, ReauthRequired, RunAlreadyActive with metadata run_id.

        A tick is settled by the run that begins at it; TickTaken, and no run, when another replica was first.
        A caller that does not wait for the end leaves a run that starts all the same: a large one takes half a minute.
        """
        return await self._starting.outcome(self._start(scope, idempotency_key, tick), "start run")

    async def drain(self) -> None:
        """Wait until every run that was being started is stored; cancelled, let none of those left come to be."""
        await self._starting.drain()

    async def _start(self, scope: Scope, idempotency_key: str | None, tick: Tick | None) -> Run:
        async with nullcontext() if scope.subject or scope.listed else self._large:
            return await self._store(scope, idempotency_key, tick)

    async def _store(self, scope: Scope, idempotency_key: str | None, tick: Tick | None) -> Run:
        if known := await self._runs.already_started(scope, idempotency_key):
            return known
        portions = await begun(self._roster.plan(scope))
        today = self._calendar.today()
        await self._partitions.prepare(today)
        plan = RunPlan(
            scope=scope,
            idempotency_key=idempotency_key,
            snapshot_date=today,
            portions=portions,
            tick=tick,
        )
        return await self._runs.create(plan)


async def begun(portions: AsyncIterator[tuple[PlannedItem, ...]]) -> AsyncIterator[tuple[PlannedItem, ...]]:
    """Return the portions, the first of which has been made: what is wrong shows before anything is stored."""
    first = await anext(portions, ())

    async def whole() -> AsyncIterator[tuple[PlannedItem, ...]]:
        yield first
        async for portion in portions:
            yield portion

    return whole()
