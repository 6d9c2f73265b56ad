import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.programs import Program
from deploy.local.supervision import Supervisor
from tests.suite.test_database_ended import eventually

ROOT = Path(__file__).parents[2]
SLEEPER = """
import os, pathlib, signal
pathlib.Path(os.environ["STARTS"]).open("a").write(f"{os.getpid()}\\n")
signal.pause()
"""


class Kept:
    """A program that writes its number down and sleeps, kept running."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.said: list[str] = []
        self._starts = directory / "starts"
        self._starts.touch()
        self.state.mkdir()
        self.supervisor = Supervisor(state=self.state, say=self.said.append)

    async def is_up(self) -> bool:
        return bool(self.pids)

    @property
    def pids(self) -> list[int]:
        return [int(line) for line in self._starts.read_text().split()]

    async def start(self) -> None:
        told = {"STARTS": str(self._starts), "PYTHONPATH": os.pathsep.join([str(ROOT), str(self.state.parent)])}
        await self.supervisor.start([Program(name="one", module="sleeper", environment=told, ready=self.is_up)])

    async def started(self, times: int) -> None:
        await eventually(lambda: len(self.pids) == times)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    kept = Kept(tmp_path)
    await kept.start()
    yield kept
    await kept.supervisor.end_all()
    for pid in kept.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("lost", ["run", "logs"])
async def test_a_program_is_kept_running_though_its_files_cannot_be_written(kept: Kept, lost: str) -> None:
    (kept.state / lost).rename(kept.state / "elsewhere")
    os.kill(kept.pids[0], signal.SIGKILL)
    await eventually(lambda: any("cannot be started as it should: No such file" in line for line in kept.said))

    (kept.state / "elsewhere").rename(kept.state / lost)
    await kept.started(2)
    os.kill(kept.pids[1], signal.SIGKILL)

    await kept.started(3)
