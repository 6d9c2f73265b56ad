"""`python -m tests.soak MINUTES [--nemesis]`: run the whole suite under load for long, and say what came of it.

The report is build/soak/calm/report.md, or nemesis/report.md, and report.json for programs; logs and journals stay
beside it. Exit status 1 when an invariant did not hold.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from libs.process import fast_loop_factory
from tests.soak.course import Plan, run
from tests.soak.report import as_json, as_markdown

FORKS = "GRPC_ENABLE_FORK_SUPPORT"
OUTPUT = Path(__file__).parents[2] / "build" / "soak"


def main() -> int:
    """Run for as long as was asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("minutes", nargs="?", type=float, default=60, help="how long there is load (60)")
    parser.add_argument("--nemesis", action="store_true", help="kill, pause, cut and restart meanwhile")
    parser.add_argument("--stores", type=int, default=100, help="connections whose tokens live a minute (100)")
    parser.add_argument("--rate", type=float, default=20, help="tokens that are asked for in a second (20)")
    parser.add_argument("--seed", type=int, default=1, help="of what the nemesis does, and when (1)")
    told = parser.parse_args()
    plan = Plan(
        seconds=told.minutes * 60, stores=told.stores, rate=told.rate, nemesis=told.seed if told.nemesis else None
    )
    output = OUTPUT / ("nemesis" if told.nemesis else "calm")
    with asyncio.Runner(loop_factory=fast_loop_factory()) as runner:
        findings = runner.run(run(plan, output / "world", say))
    (output / "report.json").write_text(as_json(findings), encoding="utf-8")
    (output / "report.md").write_text(as_markdown(findings), encoding="utf-8")
    say(f"\n{as_markdown(findings)}\nThe report is in {output}.")
    return 1 if findings.wrong else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Servers are started while gRPC is spoken, as in tests.faults.
    if os.environ.get(FORKS) != "0":
        again = [sys.executable, "-m", "tests.soak", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {FORKS: "0"})
    sys.exit(main())
