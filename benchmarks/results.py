"""What was measured, as JSON: one form, written by each measurement and read by the page about them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Bound, Figure, Limit
from benchmarks.processes import ROOT

RESULTS = ROOT / "build" / "bench.json"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one measurement asked, what it found, and of what; all but question and figures as circumstances tells."""

    question: str
    at: str
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: int
    figures: Sequence[Figure]


def write(path: Path, name: str, result: Result) -> None:
    """Write one result beside those that were written before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    told = vars(result) | {"figures": [plain(each) for each in result.figures]}
    path.write_text(json.dumps(known | {name: told}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> Mapping[str, Result]:
    """Return all results, by name."""
    known = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Result(**{**told, "figures": [figure(each) for each in told["figures"]]}) for name, told in known.items()
    }


def plain(figure: Figure) -> Mapping[str, Any]:
    """Return a figure as JSON, with what is derived from it."""
    return asdict(figure) | {"median": figure.value, "ratio": figure.ratio, "met": figure.met}


def figure(told: Mapping[str, Any]) -> Figure:
    """Return a figure out of its JSON, whose derived values are left behind."""
    limit = told["limit"] and Limit(bound=Bound(told["limit"]["bound"]), value=told["limit"]["value"])
    kept = {name: told[name] for name in ("name", "unit", "rounds", "floor", "floors")}
    return Figure(**kept, limit=limit)
