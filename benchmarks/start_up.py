"""How soon a token service serves after its start, and what memory it takes then."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from benchmarks.figures import Figure
from benchmarks.ground import Ground
from benchmarks.processes import ROOT, environment, running

ROUNDS = 5
IMPORTS = "import services.token.__main__"


async def measure(ground: Ground) -> Sequence[Figure]:
    """Return seconds and megabytes, round by round against a Python that only imports the service."""
    settings = ground.settings(await ground.database("start_up"))
    rounds = [(imported(), *started(ground, settings, number)) for number in range(ROUNDS)]
    floors, seconds, memory = zip(*rounds, strict=True)
    floor = "importing the service"
    return (
        Figure(name=floor, unit="s", rounds=floors),
        Figure(name="from its start to serving", unit="s", rounds=seconds, floor=floor, floors=floors),
        Figure(name="memory when it serves", unit="MB", rounds=memory),
    )


def imported() -> float:
    """Return the seconds of a Python that imports the service and ends."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], cwd=ROOT, env=environment({}), check=True)
    return time.perf_counter() - began


def started(ground: Ground, settings: Mapping[str, str], number: int) -> tuple[float, float]:
    """Return the seconds until a service serves, on a database that is migrated, and its memory then."""
    began = time.perf_counter()
    with running("services.token", ground.directory / f"start-{number}.log", settings) as program:
        program.wait_for("serving")
        return time.perf_counter() - began, program.memory
