"""Exports are streams: a batch of rows in memory at a time, whatever the period holds."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Protocol

from services.sync.core.calendar import Calendar
from services.sync.core.reports import to_period
from services.sync.domain.exports import COLUMNS, Batches, Bytes, Dataset, Encode, ExportFormat, ExportOrder
from services.sync.domain.reports import Period

MOST_BYTES = 256 * 1024  # in one part; gRPC takes 4 MiB


class SnapshotBatches(Protocol):
    """Where snapshots are read from."""

    def batches(self, dataset: Dataset, period: Period) -> Batches:
        """Yield rows with the dataset's columns, oldest day first; closing it ends the query."""
        ...


class Exports:
    """Makes files of snapshots."""

    def __init__(
        self, *, snapshots: SnapshotBatches, encoders: Mapping[ExportFormat, Encode], calendar: Calendar
    ) -> None:
        self._snapshots = snapshots
        self._encoders = encoders
        self._calendar = calendar

    def period(self, first: str, last: str) -> Period:
        """Return the period between two days, both included, as YYYY-MM-DD or empty; InvalidField."""
        return to_period(first, last, today=self._calendar.today())

    async def stream(self, order: ExportOrder) -> Bytes:
        """Yield the file in parts; what goes wrong on the way is raised, so that no file ends early in silence."""
        encode = self._encoders[order.format]
        async with (
            aclosing(self._snapshots.batches(order.dataset, order.period)) as batches,
            aclosing(encode(COLUMNS[order.dataset], batches)) as pieces,
        ):
            async for piece in pieces:
                for begin in range(0, len(piece), MOST_BYTES):
                    yield piece[begin : begin + MOST_BYTES]
