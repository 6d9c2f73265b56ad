"""Tables as JSON or CSV, sent page by page as they come."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from starlette.responses import Response, StreamingResponse

from libs.spreadsheet import csv_text
from services.gateway.parameters import TableFormat
from services.gateway.shapes.reports import CELLS, Row


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: the name of its file, its columns, and its pages of rows."""

    name: str
    columns: Sequence[str]
    pages: AsyncIterator[list[Row]]


async def send(table: Table, table_format: TableFormat) -> Response:
    """Return the answer with a table.

    Its first page is there before the answer begins, so that an error is an answer of its own; a later error cuts the
    connection, so that nobody takes the half for the whole.
    """
    first = await anext(table.pages)
    if table_format is TableFormat.JSON:
        return StreamingResponse(as_json(first, table.pages), media_type="application/json")
    return StreamingResponse(
        as_csv(table.columns, first, table.pages), media_type="text/csv", headers=attachment(f"{table.name}.csv")
    )


def attachment(name: str) -> dict[str, str]:
    """Return the header by which a browser saves the answer."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


async def as_json(first: list[Row], pages: AsyncIterator[list[Row]]) -> AsyncIterator[str]:
    """Yield the envelope of a list with the rows inside."""
    count = len(first)
    yield '{"success":true,"data":[' + joined(first)
    async for page in pages:
        yield ("," if count and page else "") + joined(page)
        count += len(page)
    yield f'],"count":{count}}}'


async def as_csv(columns: Sequence[str], first: list[Row], pages: AsyncIterator[list[Row]]) -> AsyncIterator[str]:
    """Yield the names of the columns, then the rows."""
    yield csv_text([columns, *cells(columns, first)])
    async for page in pages:
        yield csv_text(cells(columns, page))


def joined(rows: list[Row]) -> str:
    """Return rows as the inside of a JSON list."""
    return ",".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)


def cells(columns: Sequence[str], rows: list[Row]) -> list[list[object]]:
    """Return the rows' cells by column."""
    return [[CELLS[name](row[name]) if name in CELLS else row[name] for name in columns] for row in rows]
