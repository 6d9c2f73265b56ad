"""Measure what the suite promises about speed: all of it, or what is named; exit 1 when a bound is missed."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from benchmarks import (
    gateway_hop,
    journal,
    refresh_all,
    simulation,
    snapshot_writes,
    stampede,
    start_up,
    sync_calls,
    sync_latency,
    sync_scale,
    sync_window,
    token_reads,
    watchers,
)
from benchmarks.figures import Figure
from benchmarks.ground import Ground, open_ground
from benchmarks.report import RESULT, circumstances, plain, show, write

Measure = Callable[[Ground], Coroutine[Any, Any, Sequence[Figure]]]

MEASUREMENTS: Mapping[str, Measure] = {
    "token-reads": token_reads.measure,
    "refresh-all": refresh_all.measure,
    "stampede": stampede.measure,
    "journal": journal.measure,
    "start-up": start_up.measure,
    "gateway-hop": gateway_hop.measure,
    "sync-window": sync_window.measure,
    "sync-latency": sync_latency.measure,
    "sync-calls": sync_calls.measure,
    "watchers": watchers.measure,
    "sync-scale": sync_scale.measure,
    "sync-scale-full": sync_scale.measure_full,
    "snapshot-writes": snapshot_writes.measure,
    "simulation": simulation.measure,
}
ONLY_BY_NAME = ("sync-scale-full", "simulation")  # too long for all


def promise(measure: Measure) -> str:
    """Return the sentence a measurement answers."""
    return (sys.modules[measure.__module__].__doc__ or "").partition("\n")[0]


def chosen() -> Sequence[str]:
    """Return the measurements that were asked for, or end having listed them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    told = f"what to measure; all but {', '.join(ONLY_BY_NAME)} when none is named"
    parser.add_argument("name", nargs="*", choices=[*MEASUREMENTS, []], help=told)
    parser.add_argument("--list", action="store_true", help="list the measurements")
    options = parser.parse_args()
    if options.list:
        for name, measure in MEASUREMENTS.items():
            print(f"{name:15} {promise(measure)}")
        sys.exit()
    return options.name or [name for name in MEASUREMENTS if name not in ONLY_BY_NAME]


def main() -> None:
    """Measure, print, write, judge."""
    missed = False
    for name in chosen():
        question, before = promise(MEASUREMENTS[name]), circumstances()
        with open_ground() as ground:
            figures = asyncio.run(MEASUREMENTS[name](ground))
        show(f"{name}: {question}", figures)
        write(RESULT, name, {"question": question, **before, "figures": [plain(figure) for figure in figures]})
        missed = missed or any(figure.met is False for figure in figures)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
