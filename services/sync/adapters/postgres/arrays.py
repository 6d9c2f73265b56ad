"""Rows as parameters of a statement: each column is an array, and goes to the database as its text.

Of a list, the driver asks each element twice whether it is a list, and each of its connections asks the database what a
list of its kind is: writing the text costs less.
"""

from collections.abc import Iterable, Sequence


def parameters(first: int, types: str) -> str:
    """Return parameters, numbered from the first on, that are arrays of these types."""
    return ", ".join(f"${number}::text::{kind}[]" for number, kind in enumerate(types.split(), first))


def columns(rows: Sequence[tuple[object, ...]]) -> list[str]:
    """Return rows, of which there is one at least, by column."""
    return [array(column) for column in zip(*rows, strict=True)]


def array(column: Iterable[object]) -> str:
    """Return values of any type that PostgreSQL reads as Python writes it."""
    return "{" + ",".join(["NULL" if value is None else quoted(str(value)) for value in column]) + "}"


def quoted(text: str) -> str:
    """Return a text as an element."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def integers(column: Sequence[int | None]) -> str:
    """Return integers, of which there are many more than of anything else, in a quicker way."""
    return "{" + repr(column)[1:-1].replace("None", "NULL") + "}"
