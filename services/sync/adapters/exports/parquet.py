"""Rows as Parquet: each batch is a row group, written before the next batch is read."""

import asyncio
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from queue import SimpleQueue
from types import MappingProxyType, TracebackType
from typing import Any, Self

from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_parquet

from services.sync.domain.exports import BATCH_ROWS, Batches, Bytes, Column, Row

COMPRESSION = "zstd(3)"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

TYPES: Mapping[type, Any] = MappingProxyType(
    {
        int: DataType.int64(),
        str: DataType.string(),
        date: DataType.date32(),
        datetime: DataType.timestamp("us", tz="UTC"),
    }
)
# What the library takes plain numbers for, before they become days and moments.
NUMBERS: Mapping[type, Any] = MappingProxyType({date: DataType.int32(), datetime: DataType.int64()})


async def parquet_bytes(columns: Sequence[Column], batches: Batches) -> Bytes:
    """Yield a Parquet file."""
    async with RowGroups(columns) as groups:
        async for batch in batches:
            yield await groups.add(batch)
        yield await groups.finish()


class RowGroups:
    """Feeds the library's writer, which pulls what it writes, from a thread of its own; one batch is there at a time.

    Leaving the context early ends the thread; the file then lacks its end, and no reader takes it for whole.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._schema = Schema([Field(column.name, TYPES[column.holds]) for column in columns])
        self._inbox: SimpleQueue[list[Row] | None] = SimpleQueue()
        self._consumed = asyncio.Event()
        self._file = io.BytesIO()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._writing = asyncio.create_task(asyncio.to_thread(self._write))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inbox.put(None)
        await asyncio.gather(self._writing, return_exceptions=True)

    async def add(self, batch: list[Row]) -> bytes:
        """Return the bytes of the file that a batch adds."""
        self._consumed.clear()
        self._inbox.put(batch)
        consumed = asyncio.create_task(self._consumed.wait())
        try:
            await asyncio.wait({consumed, self._writing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            consumed.cancel()
        if self._writing.done():
            self._writing.result()
        return self._take()

    async def finish(self) -> bytes:
        """Return the bytes that end the file."""
        self._inbox.put(None)
        await self._writing
        return self._take()

    def _take(self) -> bytes:
        taken = self._file.getvalue()
        self._file.seek(0)
        self._file.truncate()
        return taken

    def _write(self) -> None:
        reader = RecordBatchReader.from_batches(self._schema, self._arriving())
        write_parquet(reader, self._file, compression=COMPRESSION, max_row_group_size=BATCH_ROWS)

    def _arriving(self) -> Iterator[RecordBatch]:
        while (batch := self._inbox.get()) is not None:
            yield RecordBatch.from_arrays(to_arrays(self._columns, batch), schema=self._schema)
            # Asked for the next one: this one is written.
            self._loop.call_soon_threadsafe(self._consumed.set)


def to_arrays(columns: Sequence[Column], batch: list[Row]) -> list[Array]:
    """Return rows, of which there is one at least, by column."""
    return [to_array(column.holds, cells) for column, cells in zip(columns, zip(*batch, strict=True), strict=True)]


def to_array(kind: type, cells: Sequence[Any]) -> Array:
    """Return the cells of a column."""
    if kind not in NUMBERS:
        return Array(cells, TYPES[kind])
    return Array([as_number(cell) for cell in cells], NUMBERS[kind]).cast(TYPES[kind])


def as_number(cell: date | None) -> int | None:
    """Return a day as days, and a moment as microseconds, since 1970."""
    if cell is None:
        return None
    if isinstance(cell, datetime):
        return (cell - EPOCH) // MICROSECOND
    return (cell - EPOCH.date()).days
