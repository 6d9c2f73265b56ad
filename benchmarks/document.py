"""Writes docs/measured.md, every figure with its commit, its machine and its load, and what repeats it."""

import sys
from collections.abc import Mapping, Sequence

from benchmarks.figures import Figure
from benchmarks.headlines import headlined
from benchmarks.plots import growth, nearness, rates
from benchmarks.processes import ROOT
from benchmarks.proofs import keep, links
from benchmarks.report import HEADINGS, cells
from benchmarks.results import RESULTS, Result, read

PAGE, README = ROOT / "docs" / "measured.md", ROOT / "README.md"
INTRODUCTION = """# Measured

`make bench` measures, and `make figures` writes this page out of what it left in `build/bench.json`.
A measurement that is repeated replaces its older self, so each tells its own commit, hour and load.
What the figures mean is in [performance.md](performance.md) and [scaling.md](scaling.md).

A ratio is the median over rounds of a figure against its floor, both measured in the same seconds.
*Spread* is the smallest and the largest round.
"""


def main() -> None:
    """Write a page for each report that is there, or say that there is none."""
    written = keep()
    if RESULTS.exists():
        told = page(read(RESULTS), links())
        PAGE.write_text(told, encoding="utf-8")
        README.write_text(headlined(README.read_text(encoding="utf-8"), told), encoding="utf-8")
        written = [PAGE, README, *written]
    if not written:
        sys.exit("There is no report yet in build: `make bench`, `make faults` and `make soak` make them.")
    print("\n".join(f"Wrote {path.relative_to(ROOT)}" for path in written))


def page(measured: Mapping[str, Result], proofs: str = "") -> str:
    """Return the whole page, which leads to the reports of faults and soaks."""
    overview = nearness({name: one.figures for name, one in measured.items()})
    told = "How near each measurement comes to its bounds; above 1 one is missed:"
    beside = [f"What faults and soaks came to: {proofs}."] if proofs else []
    parts = [INTRODUCTION.rstrip(), *beside, *([told, overview] if overview else [])]
    parts += [section(name, one) for name, one in measured.items()]
    return "\n\n".join(parts) + "\n"


def section(name: str, one: Result) -> str:
    """Return one measurement's part of the page."""
    command = f"`.venv/bin/python -m benchmarks {name}` took {one.seconds} s"
    machine = f"{one.machine['processor']}, {one.machine['cores']} cores, load {one.machine['load']:.1f} before"
    told = f"{command}. Commit {one.commit}, {one.at}, Python {one.versions['python']}, {machine}."
    charts = [each for each in (rates(one.figures), *growth(one.figures)) if each]
    return "\n\n".join([f"## {name}", one.question, told, table(one.figures), *charts])


def table(figures: Sequence[Figure]) -> str:
    """Return figures as a table in Markdown."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(cells(each) for each in figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
