"""Prints how long files, functions and tests are, room by room; fails if one is over the limit."""

import sys
from pathlib import Path

from tests.house.sizes import modules, sentences, sizes, too_long

ROOMS = (
    "services/token",
    "services/sync",
    "services/gateway",
    "libs",
    "cli",
    "sandbox",
    "deploy",
    "benchmarks",
    "tests",
)
CODE = ("Code", "files", "lines median / p90 / max", "function median / p90 / max", "comments")
TESTS = ("Tests", "tests", "words in name, median", "lines per test, median", "with docstring")


def table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    """Lay the rows out as a Markdown table, its columns in line."""
    cells = [list(head), *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    ruled = [padded[0], ["-" * width for width in widths], *padded[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in ruled)


def main() -> None:
    """Print both tables, then what is too long; status 1 if anything is."""
    rooms = {room: list(modules(Path(room))) for room in ROOMS}
    shipped = [module for room in ROOMS if room not in ("benchmarks", "tests") for module in rooms[room]]
    code = [["all that is shipped", *sizes(shipped)], *([room, *sizes(rooms[room])] for room in ROOMS)]
    sys.stdout.write(f"{table(CODE, code)}\n\n{table(TESTS, [['tests', *sentences(rooms['tests'])]])}\n")
    if long := [line for room in rooms.values() for line in too_long(room)]:
        sys.exit("\n".join(["", "Too long:", *long]))


if __name__ == "__main__":
    main()
