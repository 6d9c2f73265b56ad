"""How soon each service serves after its start, and what memory it takes then."""

import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figure, at_most
from benchmarks.ground import Ground
from benchmarks.processes import ROOT, environment
from benchmarks.sync_lab import program_of, sync_lab

ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start of one service."""

    imported: float  # seconds of a Python that only imports it
    seconds: float
    memory: float  # megabytes


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return seconds and megabytes of each service in turn, on databases that are migrated and among the others."""
    async with sync_lab(ground, "start_up") as lab:
        told = {
            "token": ground.settings(lab.database),
            "sync": lab.sync_settings,
            "gateway": lab.gateway_settings(lab.replica(), secrets.token_hex(24)),
        }
        rounds = [{name: started(ground, name, settings) for name, settings in told.items()} for _ in range(ROUNDS)]
    return [figure for name in told for figure in figures(name, [one[name] for one in rounds])]


def started(ground: Ground, name: str, settings: Mapping[str, str]) -> Start:
    """Import a service, and start it."""
    imported, began = import_seconds(name), time.perf_counter()
    with program_of(ground, f"services.{name}", settings) as program:
        program.wait_for("serving")
        return Start(imported=imported, seconds=time.perf_counter() - began, memory=program.memory)


def import_seconds(name: str) -> float:
    """Return the seconds of a Python that imports a service and ends."""
    began = time.perf_counter()
    imports = f"import services.{name}.__main__"
    subprocess.run([sys.executable, "-c", imports], cwd=ROOT, env=environment({}), check=True)
    return time.perf_counter() - began


def figures(name: str, starts: Sequence[Start]) -> Sequence[Figure]:
    """Return what was seen of one service."""
    floor, floors = f"{name} service: importing it", [one.imported for one in starts]
    seconds = [one.seconds for one in starts]
    return (
        Figure(name=floor, unit="s", rounds=floors),
        Figure(
            name=f"{name} service: from its start to serving",
            unit="s",
            rounds=seconds,
            floor="importing it",
            floors=floors,
            limit=at_most(1.5),
        ),
        Figure(name=f"{name} service: memory when it serves", unit="MB", rounds=[one.memory for one in starts]),
    )
