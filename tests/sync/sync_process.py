"""`python -m services.sync` as a process of its own, to be killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.fixtures_sandbox import SandboxProcess

ROOT = Path(__file__).parents[2]


def environment(dsn: str, token_target: str, sandbox: SandboxProcess) -> dict[str, str]:
    """Return what a sync service needs to run beside others; nothing starts by itself, and no limit is met."""
    return {
        "DATABASE_URL": dsn,
        "TOKEN_TARGET": token_target,
        "TIKTOK_API_BASE_URL": sandbox.url,
        "SYNC_LISTEN": "127.0.0.1:0",
        "SYNC_METRICS_PORT": "0",
        "CRON_ENABLED": "0",
        "TIKTOK_RATE_LIMIT_PER_MINUTE": "60000",
    }


class SyncProcess:
    """A running process; its log lines are read as they are needed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.port = int(self.line_with("serving")["port"])

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def line_with(self, message: str) -> dict[str, str]:
        """Return the next log line with this message."""
        assert self._process.stdout
        for text in self._process.stdout:
            line: dict[str, str] = json.loads(text)
            if line.get("msg") == message:
                return line
        raise AssertionError(f"the process ended without saying {message!r}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def terminate(self) -> tuple[int, list[dict[str, str]]]:
        """Ask it to stop; return its exit status and the log lines not read yet."""
        self._process.send_signal(signal.SIGTERM)
        output, _ = self._process.communicate(timeout=30)
        return self._process.returncode, [json.loads(line) for line in output.splitlines()]


@contextmanager
def sync_process(
    environment: Mapping[str, str], program: Sequence[str] = ("-m", "services.sync")
) -> Iterator[SyncProcess]:
    """Yield a serving process; it does not outlive the context."""
    command = (sys.executable, *program)
    with subprocess.Popen(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"], **environment}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield SyncProcess(process)
        finally:
            process.kill()
