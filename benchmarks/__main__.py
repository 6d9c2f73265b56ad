"""Measure what the suite promises about speed: all of it, or what is named; exit 1 when a bound is missed."""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
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
from benchmarks.processes import ROOT
from benchmarks.report import circumstances, show
from benchmarks.results import RESULTS, Result, write


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What measures, and about how many minutes it takes on two quiet cores."""

    measure: Callable[[Ground], Coroutine[Any, Any, Sequence[Figure]]]
    minutes: float
    only_by_name: bool = False  # too long for all

    @property
    def promise(self) -> str:
        """The sentence that it answers."""
        return (sys.modules[self.measure.__module__].__doc__ or "").partition("\n")[0]


MEASUREMENTS: Mapping[str, Measurement] = {
    "token-reads": Measurement(measure=token_reads.measure, minutes=3),
    "refresh-all": Measurement(measure=refresh_all.measure, minutes=4),
    "stampede": Measurement(measure=stampede.measure, minutes=0.5),
    "journal": Measurement(measure=journal.measure, minutes=0.5),
    "start-up": Measurement(measure=start_up.measure, minutes=1),
    "gateway-hop": Measurement(measure=gateway_hop.measure, minutes=3),
    "sync-window": Measurement(measure=sync_window.measure, minutes=8),
    "sync-latency": Measurement(measure=sync_latency.measure, minutes=3),
    "sync-calls": Measurement(measure=sync_calls.measure, minutes=4),
    "watchers": Measurement(measure=watchers.measure, minutes=2),
    "sync-scale": Measurement(measure=sync_scale.measure, minutes=12),
    "snapshot-writes": Measurement(measure=snapshot_writes.measure, minutes=1),
    "simulation": Measurement(measure=simulation.measure, minutes=10, only_by_name=True),
}


def chosen() -> Sequence[str]:
    """Return the measurements that were asked for, or end having listed them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", help="what to measure; all without any, but what is said to be by name only")
    parser.add_argument("--list", action="store_true", help="list the measurements, and about how long each takes")
    options = parser.parse_args()
    if options.list:
        for name, one in MEASUREMENTS.items():
            print(f"{name:16} {one.minutes:4g} min  {one.promise}{' (by name only)' * one.only_by_name}")
        sys.exit()
    if unknown := [name for name in options.name if name not in MEASUREMENTS]:
        parser.error(f"there is no measurement {unknown[0]!r}; there are {', '.join(MEASUREMENTS)}")
    return options.name or [name for name, one in MEASUREMENTS.items() if not one.only_by_name]


def measured(name: str) -> bool:
    """Measure, print and write one; return whether it keeps its bounds."""
    one, before, began = MEASUREMENTS[name], circumstances(), time.monotonic()
    print(f"{name}: about {one.minutes:g} minutes", flush=True)
    with open_ground() as ground:
        figures = asyncio.run(one.measure(ground))
    seconds = round(time.monotonic() - began)
    show(f"{name}: {one.promise} ({seconds} s)", figures)
    write(RESULTS, name, Result(question=one.promise, **before, seconds=seconds, figures=figures))
    return all(figure.met is not False for figure in figures)


def alone(name: str) -> bool:
    """Measure one in a process of its own, so that what breaks off takes none of the others with it."""
    return subprocess.run([sys.executable, "-m", "benchmarks", name], cwd=ROOT, check=False).returncode == 0


def main() -> None:
    """Measure what was asked for, and judge."""
    names = chosen()
    if len(names) == 1:
        sys.exit(not measured(names[0]))
    print(f"{len(names)} measurements, about {sum(MEASUREMENTS[name].minutes for name in names):g} minutes", flush=True)
    if bad := [name for name in names if not alone(name)]:
        sys.exit(f"A bound is missed in, or no figure came of: {', '.join(bad)}")


if __name__ == "__main__":
    main()
