from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric

from libs.clock import SystemClock
from libs.errors import StorageUnavailable
from libs.metrics import LastLook


class Hands(SystemClock):
    """A clock that the test sets."""

    at = 1000.0

    def monotonic(self) -> float:
        return self.at


class Queue:
    depth = 3.0

    async def look(self) -> Sequence[Metric]:
        if self.depth < 0:
            raise StorageUnavailable
        return [GaugeMetricFamily("depth", "Depth.", value=self.depth)]


async def test_what_was_seen_is_told_until_it_is_too_old() -> None:
    clock, queue, registry = Hands(), Queue(), CollectorRegistry()
    look = LastLook(queue.look, every=30, clock=clock)
    registry.register(look)
    told = [registry.get_sample_value("depth")]
    await look.refresh()
    told.append(registry.get_sample_value("depth"))
    queue.depth, clock.at = -1, 1119
    with pytest.raises(StorageUnavailable):
        await look.refresh()
    told.append(registry.get_sample_value("depth"))
    clock.at = 1120

    assert [*told, registry.get_sample_value("depth")] == [None, 3, 3, None]
