"""The table of a campaign: case, fault, expected, seen, verdict."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.faults.campaign import Result

HEAD = ("case", "fault", "expected", "seen", "verdict")


def line(result: Result) -> str:
    """Return what is printed when a case ends."""
    wrong = "".join(f"\n{'':26}{one}" for one in result.wrong)
    return f"{result.case.id:<24}{result.verdict:<6}{result.took:6.1f} s  {first_line(result.seen)}{wrong}"


def page(on: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Return the report: what ran, where, and all results; on is what benchmarks.report.circumstances told before."""
    machine = on["machine"]
    ran_on = f"Commit {on['commit']}, {on['at']}; {machine['processor']}, {machine['cores']} cores."
    return f"# Faults\n\n{summary(results)}.\n{ran_on}\n\n{table(results)}\n"


def table(results: Iterable[Result]) -> str:
    """Return all results as a Markdown table."""
    rows = [(one.case.id, one.case.fault, one.case.expected, seen_in(one), one.verdict) for one in results]
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(map(as_cell, cells))} |" for cells in lines)


def as_cell(text: str) -> str:
    """Return a text that stays within its cell, and is shown as it is."""
    return html.escape(" ".join(text.replace("|", "/").split()), quote=False)


def summary(results: Sequence[Result]) -> str:
    """Return the last line."""
    missed = [one.case.id for one in results if one.wrong]
    took = sum(one.took for one in results)
    said = f"missed: {', '.join(missed)}" if missed else "0 missed"
    return f"{len(results)} cases, {said}; {took:.0f} s of cases"


def seen_in(result: Result) -> str:
    """Return what was seen, and what was wrong with it, in one cell."""
    return "; ".join([first_line(result.seen), *result.wrong])


def first_line(text: str) -> str:
    """Return what stands before the first line break."""
    return text.partition("\n")[0]
