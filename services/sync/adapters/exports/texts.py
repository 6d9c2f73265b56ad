"""Rows as CSV and as lines of JSON."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime

from libs.spreadsheet import csv_text
from services.sync.domain.exports import Batches, Bytes, Column, Row


async def csv_bytes(columns: Sequence[Column], batches: Batches) -> Bytes:
    """Yield a line of names and a line for each row; no cell is a formula to a spreadsheet."""
    names: list[Row] = [[column.name for column in columns]]
    async for batch in batches:
        yield csv_text([*names, *map(written, batch)]).encode()
        names = []
    if names:
        yield csv_text(names).encode()


async def json_lines(columns: Sequence[Column], batches: Batches) -> Bytes:
    """Yield a JSON object a line."""
    names = [column.name for column in columns]
    async for batch in batches:
        lines = (dict(zip(names, written(row), strict=True)) for row in batch)
        yield "".join(f"{json.dumps(line, ensure_ascii=False, separators=(',', ':'))}\n" for line in lines).encode()


def written(row: Row) -> list[object]:
    """Return the row with its days and moments as text."""
    return [as_text(cell) if isinstance(cell, date) else cell for cell in row]


def as_text(day: date) -> str:
    """Return a day, or a moment in UTC with milliseconds."""
    if isinstance(day, datetime):
        return day.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return day.isoformat()
