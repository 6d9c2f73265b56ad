"""Writes docs/measured.md, every figure with its commit, its machine and its load, and what repeats it."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Bound, Figure, Limit
from benchmarks.headlines import headlined
from benchmarks.plots import growth, nearness, rates
from benchmarks.processes import ROOT
from benchmarks.proofs import keep, links
from benchmarks.report import HEADINGS, RESULT, cells

PAGE, README = ROOT / "docs" / "measured.md", ROOT / "README.md"
INTRODUCTION = """# Measured

`make bench` measures, and `make figures` writes this page out of what it left in `build/bench.json`.
A measurement that is repeated replaces its older self, so each tells its own commit, hour and load.
What the figures mean is in [performance.md](performance.md) and [scaling.md](scaling.md).

A ratio is the median over rounds of a figure against its floor, both measured in the same seconds.
*Spread* is the smallest and the largest round.
"""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one measurement asked, what it found, and of what."""

    question: str
    at: str
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: int
    figures: Sequence[Figure]


def main() -> None:
    """Write a page for each report that is there, or say that there is none."""
    written = keep()
    if RESULT.exists():
        told = page(read(RESULT), links())
        PAGE.write_text(told, encoding="utf-8")
        README.write_text(headlined(README.read_text(encoding="utf-8"), told), encoding="utf-8")
        written = [PAGE, README, *written]
    if not written:
        sys.exit("There is no report yet in build: `make bench`, `make faults` and `make soak` make them.")
    print("\n".join(f"Wrote {path.relative_to(ROOT)}" for path in written))


def read(path: Path) -> Mapping[str, Measurement]:
    """Return what was measured, by name."""
    known = json.loads(path.read_text(encoding="utf-8"))
    return {name: measurement(each) for name, each in known.items()}


def measurement(told: Mapping[str, Any]) -> Measurement:
    """Return a measurement out of its JSON."""
    return Measurement(**{**told, "figures": [figure(each) for each in told["figures"]]})


def figure(told: Mapping[str, Any]) -> Figure:
    """Return a figure out of its JSON, whose derived values are left behind."""
    limit = told["limit"] and Limit(bound=Bound(told["limit"]["bound"]), value=told["limit"]["value"])
    kept = {name: told[name] for name in ("name", "unit", "rounds", "floor", "floors")}
    return Figure(**kept, limit=limit)


def page(measured: Mapping[str, Measurement], proofs: str = "") -> str:
    """Return the whole page, which leads to the reports of faults and soaks."""
    overview = nearness({name: one.figures for name, one in measured.items()})
    told = "How near each measurement comes to its bounds; above 1 one is missed:"
    beside = [f"What faults and soaks came to: {proofs}."] if proofs else []
    parts = [INTRODUCTION.rstrip(), *beside, *([told, overview] if overview else [])]
    parts += [section(name, one) for name, one in measured.items()]
    return "\n\n".join(parts) + "\n"


def section(name: str, one: Measurement) -> str:
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
