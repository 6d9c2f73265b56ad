"""How long the files, functions and tests of a room are, and what of them is over the limit."""

import ast
import io
import math
import statistics
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("services", "libs", "cli", "sandbox", "deploy", "benchmarks", "examples", "tests")

FILE_LINES = 400
FUNCTION_LINES = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One file of a room, read and parsed."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Its lines, blank ones included."""
        return len(self.text.splitlines())

    @property
    def comments(self) -> int:
        """Lines that hold a comment."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return sum(token.type == tokenize.COMMENT for token in tokens)

    @property
    def functions(self) -> list[Function]:
        """Its functions and methods, those inside others too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]


def modules(room: Path) -> Iterator[Module]:
    """Read all that was written by hand; generated stubs and empty files are no one's style."""
    for path in sorted(room.rglob("*.py")):
        text = path.read_text()
        if "_pb2" not in path.name and text.strip():
            yield Module(path, text, ast.parse(text))


def length(function: Function) -> int:
    """Lines from its `def` to its end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    told = function.body[0]
    return lines - ((told.end_lineno or told.lineno) - told.lineno + 1)


def spread(numbers: Iterable[int]) -> str:
    """Tell the median, the 90th percentile and the largest, as `12 / 56 / 267`."""
    ordered = sorted(numbers)
    if not ordered:
        return "-"
    ninth = ordered[math.ceil(len(ordered) * 0.9) - 1]
    return f"{statistics.median_low(ordered)} / {ninth} / {ordered[-1]}"


def sizes(room: list[Module]) -> list[str]:
    """A room's row: files, their lines, its functions' lines, and what share of the lines holds a comment."""
    lines = sum(module.lines for module in room)
    comments = sum(module.comments for module in room)
    return [
        str(len(room)),
        spread(module.lines for module in room),
        spread(length(function) for module in room for function in module.functions),
        f"{comments / lines:.1%}" if lines else "-",
    ]


def tests(room: list[Module]) -> list[Function]:
    """Return what pytest collects there."""
    files = (module for module in room if module.path.name.startswith("test_"))
    return [test for module in files for test in module.functions if test.name.startswith("test_")]


def sentences(room: list[Module]) -> list[str]:
    """Tell of a room's tests: how many, words in a name, lines of one, and how many have a docstring."""
    found = tests(room)
    told = sum(ast.get_docstring(test) is not None for test in found)
    return [
        str(len(found)),
        str(statistics.median_low(len(test.name.split("_")) - 1 for test in found)),
        str(statistics.median_low(length(test) for test in found)),
        f"{told / len(found):.0%}",
    ]


def too_long(room: list[Module]) -> Iterator[str]:
    """Name each file and function over its limit, by its place and its lines."""
    for module in room:
        if module.lines > FILE_LINES:
            yield f"{module.path}: {module.lines} lines, at most {FILE_LINES}: split what has two ideas"
        for function in module.functions:
            if length(function) > FUNCTION_LINES:
                yield (
                    f"{module.path}:{function.lineno}: {function.name} has {length(function)} lines,"
                    f" at most {FUNCTION_LINES}: give its steps names"
                )
