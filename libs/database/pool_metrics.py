"""How much of a process's database pools is in use, told when it is asked for."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.database.pool import Pool


class PoolMetrics(Collector):
    """Collects from another thread: it only looks. The pools are asked for anew, because one may be opened late."""

    def __init__(self, pools: Callable[[], Mapping[str, Pool]]) -> None:
        self._pools = pools

    def collect(self) -> Iterable[Metric]:
        """Return the connections of each pool by state, and how many it may have."""
        connections = GaugeMetricFamily(
            "tokhub_database_pool_connections",
            "Open connections to the database, by whether they are in use.",
            labels=["pool", "state"],
        )
        most = GaugeMetricFamily(
            "tokhub_database_pool_size", "Connections that a pool may have at most.", labels=["pool"]
        )
        for name, pool in self._pools().items():
            idle = pool.get_idle_size()
            connections.add_metric([name, "idle"], idle)
            connections.add_metric([name, "used"], max(0, pool.get_size() - idle))
            most.add_metric([name], pool.get_max_size())
        return connections, most
