import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVE_UNTIL_STOPPED = """
import asyncio
from libs.process import run
async def main(stop):
    print(type(asyncio.get_running_loop()).__module__, flush=True)
    await stop.wait()
    await asyncio.sleep(0)
    print("closed", flush=True)
    return 7
raise SystemExit(run(main))
"""
FAIL = """
from libs.process import run
async def main(stop):
    raise RuntimeError("broken")
run(main)
"""


@contextmanager
def started(script: str) -> Iterator[subprocess.Popen[str]]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = (sys.executable, "-c", script)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_service_close_down(number: signal.Signals) -> None:
    with started(SERVE_UNTIL_STOPPED) as process:
        assert process.stdout
        assert process.stdout.readline() == "uvloop\n"
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (7, "closed\n", "")


def test_a_failure_is_not_swallowed() -> None:
    with started(FAIL) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.endswith("RuntimeError: broken\n")
