"""Rows as CSV: RFC 4180, UTF-8, and no cell that a spreadsheet would take for a formula."""

import csv
import io
from collections.abc import Iterable, Sequence

# What spreadsheets begin a formula with, and the blanks they skip before it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as lines; None is an empty cell, and a text that could be a formula begins with an apostrophe."""
    lines = io.StringIO(newline="")
    csv.writer(lines, lineterminator="\r\n").writerows([harmless(cell) for cell in row] for row in rows)
    return lines.getvalue()


def harmless(cell: object) -> object:
    """Return the cell; numbers are no formulas, whatever their sign."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell
