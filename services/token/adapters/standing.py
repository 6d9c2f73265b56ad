"""How the service stands when its metrics are asked for: providers at rest, the journal, tokens not saved yet."""

from collections.abc import Iterable, Sequence
from typing import Protocol
from uuid import UUID

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.token.core.journal import JournalSize
from services.token.domain.connection import Provider


class Rests(Protocol):
    """What knows which providers are left alone."""

    def rests(self, provider: Provider, /) -> bool:
        """Return whether a provider is left alone."""
        ...


class Flights(Protocol):
    """What knows the refreshes on their way."""

    @property
    def unsaved(self) -> int:
        """Return how many new tokens are not in the database yet, though callers have them."""
        ...

    @property
    def only_here(self) -> Sequence[UUID]:
        """Return the connections whose newest tokens are in the memory of this process alone."""
        ...


class Sized(Protocol):
    """What has the size of a journal."""

    def size(self) -> JournalSize:
        """Return the size."""
        ...


class Standing(Collector):
    """Collects while it is asked, from another thread: it only looks."""

    def __init__(self, *, providers: Sequence[Provider], breaker: Rests, refresher: Flights, journal: Sized) -> None:
        self._providers = providers
        self._breaker = breaker
        self._refresher = refresher
        self._journal = journal

    def collect(self) -> Iterable[Metric]:
        """Return what is so now."""
        resting = GaugeMetricFamily(
            "tokhub_token_provider_resting",
            "1 while a provider that does not answer is left alone.",
            labels=["provider"],
        )
        for provider in self._providers:
            resting.add_metric([provider], self._breaker.rests(provider))
        yield resting
        unsaved = self._refresher.unsaved
        yield GaugeMetricFamily("tokhub_token_unsaved", "New tokens that wait for the database.", value=unsaved)
        here = len(self._refresher.only_here)
        yield GaugeMetricFamily("tokhub_token_only_in_memory", "New tokens that nothing on a disk has.", value=here)
        size = self._journal.size()
        yield GaugeMetricFamily("tokhub_token_journal_bytes", "Size of this process's journal.", value=size.bytes)
        yield GaugeMetricFamily("tokhub_token_journal_records", "Records in this journal.", value=size.records)
        yield GaugeMetricFamily(
            "tokhub_token_journal_pending", "Records that wait to be flushed to the disk.", value=size.pending
        )
        yield CounterMetricFamily(
            "tokhub_token_journal_dropped", "Records given up while the disk hung.", value=size.dropped
        )
