"""Findings as people see them."""

from collections.abc import Iterable, Iterator

from cli.checks.finding import Finding, Level

MARKS = {Level.GOOD: "✅", Level.WARNING: "⚠️ ", Level.BAD: "❌"}
WIDTH = 14


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield a line for each finding, and one for what to do about it."""
    for one in findings:
        yield f"{MARKS[one.level]} {one.what:<{WIDTH}}{one.says}"
        if one.todo:
            yield f"   {'':<{WIDTH}}→ {one.todo}"
