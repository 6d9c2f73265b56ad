"""`python -m tests.faults [ID …]`: break everything that can break, one case at a time, and tell what was seen.

An ID chooses the cases that begin with it (P04, D, Nango). Exit status 1 when a case misses. The logs, history and
journals of every case stay under build/faults, beside the report: report.md of all cases, some.md of those chosen.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from benchmarks.report import circumstances
from libs.process import fast_loop_factory
from tests.faults.campaign import Result, run
from tests.faults.case import cases_of, chosen
from tests.faults.report import line, page, summary, table

CASES = Path(__file__).with_name("cases")
FORKS = "GRPC_ENABLE_FORK_SUPPORT"
OUTPUT = Path(__file__).parents[2] / "build" / "faults"


def main() -> int:
    """Run what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("ids", nargs="*", metavar="ID", help="how the ids of the cases begin; all without any")
    parser.add_argument("--list", action="store_true", help="name the cases and run none")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="cases at the same time (2)")
    told = parser.parse_args()
    cases = chosen(cases_of(themes()), told.ids)
    if told.list or not cases:
        sys.stdout.writelines(f"{one.id:<24}{one.fault}\n" for one in cases)
        return 0 if cases else 2
    on = circumstances()
    with asyncio.Runner(loop_factory=fast_loop_factory()) as runner:
        results = runner.run(run(cases, OUTPUT, at_once=told.at_once, tell=show))
    report = OUTPUT / ("some.md" if told.ids else "report.md")
    report.write_text(page(on, results), encoding="utf-8")
    sys.stdout.write(f"\n{table(results)}\n\n{summary(results)}; the table is in {report}\n")
    return 1 if any(one.wrong for one in results) else 0


def themes() -> Iterable[ModuleType]:
    """Return the modules that hold cases, by name."""
    return [import_module(f"tests.faults.cases.{path.stem}") for path in sorted(CASES.glob("*.py"))]


def show(result: Result) -> None:
    """Print a result as it comes."""
    sys.stdout.write(line(result) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Cases start servers while they talk gRPC, whose handlers of fork() crash the child before it becomes a server.
    # The variable is read when gRPC is imported, which has happened by now.
    if os.environ.get(FORKS) != "0":
        again = [sys.executable, "-m", "tests.faults", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {FORKS: "0"})
    sys.exit(main())
