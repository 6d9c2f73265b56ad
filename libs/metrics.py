"""Prometheus metrics of one process: served on one interface, and what has to be looked up beforehand is kept."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from libs.clock import Clock

# A look that keeps failing: what was seen before it is told for so many times the pause between two looks.
BELIEVED = 4

Look = Callable[[], Awaitable[Sequence[Metric]]]


def process_registry(service: str) -> CollectorRegistry:
    """Return a registry that has what every process tells: its release, memory, time and files."""
    # When each series began is a second series for each, and nobody asks.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Gauge("tokhub_build_info", "1; the release of this process.", ["service", "version"], registry=registry)
    build.labels(service, version("tokhub")).set(1)
    return registry


@contextmanager
def serve_metrics(host: str, port: int, registry: CollectorRegistry) -> Iterator[None]:
    """Serve GET /metrics while the context is open; port 0 serves nothing."""
    if port == 0:
        yield
        return
    server, thread = start_http_server(port, addr=host, registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class LastLook(Collector):
    """Tells what was seen at the last look, for a question to a database is too much for every scrape.

    What is too old to be believed is not told at all: an alert can see that it is absent.
    """

    def __init__(self, look: Look, *, every: float, clock: Clock) -> None:
        self._look = look
        self._every = every
        self._clock = clock
        self._seen: tuple[float, Sequence[Metric]] = (clock.monotonic(), ())

    async def refresh(self) -> None:
        """Look again; every is in seconds."""
        self._seen = (self._clock.monotonic(), await self._look())

    def collect(self) -> Iterable[Metric]:
        """Return what was seen, from another thread."""
        at, metrics = self._seen
        return metrics if self._clock.monotonic() - at < BELIEVED * self._every else ()
