"""Memory and descriptors of every process, looked at every few seconds; a process that is started anew is another."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from tests.faults.processes import ServiceProcess
from tests.soak.figures import Slope, slope

EVERY = 5.0  # seconds
MEGABYTE = 1e6


@dataclass
class Reading:
    """One life of a process: moments in seconds, memory in MB, descriptors."""

    name: str
    pid: int
    at: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it was looked at."""
        return self.at[-1] - self.at[0]

    def slope(self, values: Sequence[float], after: float) -> Slope | None:
        """Return how values changed once so many seconds had gone by."""
        kept = [place for place, at in enumerate(self.at) if at - self.at[0] >= after]
        return slope([self.at[place] for place in kept], [values[place] for place in kept])


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a process used over a life: slopes after the warm-up, None for a short life, and the most of it.

    What fills up, and then is full, has a flatter slope in the last half; what leaks has the same.
    """

    name: str
    seconds: float
    memory: Slope | None
    last_half: Slope | None
    descriptors: Slope | None
    most_memory: float
    most_descriptors: float


class Meters:
    """Reads until it is cancelled."""

    def __init__(self, processes: Sequence[ServiceProcess]) -> None:
        self._processes = processes
        self._readings: dict[tuple[str, int], Reading] = {}

    async def read_on(self) -> None:
        """Read again and again."""
        while True:
            self._read()
            await asyncio.sleep(EVERY)

    def _read(self) -> None:
        for process in self._processes:
            if not process.alive:
                continue
            with suppress(psutil.Error):
                self._note(process.name, psutil.Process(process.process.pid))

    def _note(self, name: str, process: psutil.Process) -> None:
        reading = self._readings.setdefault((name, process.pid), Reading(name, process.pid))
        memory, descriptors = process.memory_info().rss / MEGABYTE, process.num_fds()
        reading.at.append(time.monotonic())
        reading.memory.append(memory)
        reading.descriptors.append(descriptors)

    def uses(self, warm_up: float) -> Iterator[Use]:
        """Yield what was read of each life, slopes without its first seconds."""
        for reading in self._readings.values():
            yield Use(
                name=reading.name,
                seconds=reading.seconds,
                memory=reading.slope(reading.memory, warm_up),
                last_half=reading.slope(reading.memory, reading.seconds / 2),
                descriptors=reading.slope(reading.descriptors, warm_up),
                most_memory=max(reading.memory),
                most_descriptors=max(reading.descriptors),
            )
