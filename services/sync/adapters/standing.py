"""How a replica stands when its metrics are asked for: endpoints at rest, calls and borrowers that wait."""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.sync.adapters.postgres.database import PoolFigures
from services.sync.core.account_calls import Endpoint
from services.sync.domain.rate_limit import Lane


class Rests(Protocol):
    """What knows which endpoints are left alone."""

    def rests(self, endpoint: str) -> bool:
        """Return whether an endpoint is left alone."""
        ...


class Waits(Protocol):
    """What knows how many calls wait for their turn."""

    def waiting(self, endpoint: str, lane: Lane) -> int:
        """Return how many calls of a lane wait."""
        ...


class Lends(Protocol):
    """What knows how connections are used."""

    def figures(self) -> PoolFigures:
        """Return how the pool is used now."""
        ...


class Standing(Collector):
    """Collects while it is asked, from another thread: it only looks."""

    def __init__(self, *, circuit: Rests, budget: Waits, database: Lends, schedules: int) -> None:
        self._circuit = circuit
        self._budget = budget
        self._database = database
        self._schedules = schedules

    def collect(self) -> Iterable[Metric]:
        """Return what is so now."""
        resting = GaugeMetricFamily(
            "tokhub_tiktok_resting", "1 while an endpoint that fails is left alone.", labels=["endpoint"]
        )
        waiting = GaugeMetricFamily(
            "tokhub_tiktok_calls_waiting", "Calls that wait for their turn.", labels=["endpoint", "lane"]
        )
        for endpoint in Endpoint:
            resting.add_metric([endpoint], self._circuit.rests(endpoint))
            for lane in Lane:
                waiting.add_metric([endpoint, lane.name.lower()], self._budget.waiting(endpoint, lane))
        yield resting
        yield waiting
        yield GaugeMetricFamily(
            "tokhub_database_pool_waiting",
            "Who waits for a connection of the main pool.",
            value=self._database.figures().waiting,
        )
        yield GaugeMetricFamily(
            "tokhub_sync_schedules", "Schedules that start runs by themselves.", value=self._schedules
        )
