"""What a replica knows of its service's audit trail, for Prometheus."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.audit.witness import Witness


class TrailMetrics(Collector):
    """Collects from another thread: it only looks."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    def collect(self) -> Iterable[Metric]:
        """Return where the chain stands and whether rows of it are gone."""
        return (
            GaugeMetricFamily(
                "tokhub_audit_sequence",
                "Number of the newest row of the audit trail that this replica has kept a checkpoint of.",
                value=self._witness.sequence,
            ),
            GaugeMetricFamily(
                "tokhub_audit_chain_broken",
                "1 when the audit trail no longer has what the kept checkpoint names.",
                value=self._witness.misses,
            ),
        )
