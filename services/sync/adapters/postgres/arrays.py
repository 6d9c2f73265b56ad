"""Rows as parameters of a statement: each column is an array, and goes to the database as its text.

Of a list, the driver asks each element twice whether it is a list, and each of its connections asks the database what a
list of its kind is: writing the text costs less.
"""

from collections.abc import Sequence

from pydantic_core import to_json


def parameters(first: int, types: str) -> str:
    """Return parameters, numbered from the first on, that are arrays of these types."""
    return ", ".join(f"${number}::text::{kind}[]" for number, kind in enumerate(types.split(), first))


def columns(rows: Sequence[tuple[object, ...]]) -> list[str]:
    """Return rows, of which there is one at least, by column."""
    return [array(column) for column in zip(*rows, strict=True)]


def array(column: Sequence[object]) -> str:
    """Return values of any type that PostgreSQL reads as JSON has it."""
    told = to_json(column).decode()
    if "\\" in told:
        # What JSON escapes otherwise than PostgreSQL, such as the end of a line.
        return "{" + ",".join(["NULL" if value is None else quoted(str(value)) for value in column]) + "}"
    return "{" + told[1:-1] + "}"


def quoted(text: str) -> str:
    """Return a text as an element."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
