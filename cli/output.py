"""Writes what a command has found to stdout: a table or a sentence for people, JSON for programs."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table

# Columns where no terminal says how many it has: lines in a file or a pipe are as long as they are.
UNBOUNDED = 10_000


def open_console() -> Console:
    """Return where people read."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else UNBOUNDED)


def say(text: str, style: str = "") -> None:
    """Write a line as it is, however long."""
    open_console().print(text, style=style, markup=False, soft_wrap=True)


def new_table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table, the columns named in numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def show(table: Table, *, empty: str) -> None:
    """Write a table, or what to say when it has no row."""
    if table.row_count:
        open_console().print(table)
    else:
        say(empty)


def plain(message: Message) -> dict[str, Any]:
    """Return a message as JSON has it: its fields by their names in the protos, zeros and empty lists included."""
    fields: dict[str, Any] = MessageToDict(message, always_print_fields_with_no_presence=True)
    return fields


def print_json(value: Any) -> None:
    """Write a JSON document."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def print_json_line(value: Any) -> None:
    """Write one of several JSON documents, a line each, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()
