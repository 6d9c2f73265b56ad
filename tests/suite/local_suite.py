"""The suite as `make run` starts it, in a directory and on ports of its own."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import jwt
import psutil

from libs.clock import SystemClock
from libs.rpc.client import open_channel
from libs.rpc.tls import Certificates, TlsFiles

ROOT = Path(__file__).parents[2]
SERVING = "Serving on"
NAMES = ("PORT", "SANDBOX_PORT", "TOKEN_METRICS_PORT", "SYNC_METRICS_PORT", "TOKEN_LISTEN", "SYNC_LISTEN")


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def directory() -> Iterator[Path]:
    """A directory to run in; the database files that its state points to elsewhere go with it."""
    path = Path(tempfile.mkdtemp(prefix="tokhub-suite-", dir="/tmp"))
    try:
        yield path
    finally:
        subprocess.run(["/bin/sh", ROOT / "deploy/local/remove_state.sh", path / ".tokhub"], check=True)
        shutil.rmtree(path)


class Home:
    """Where a suite runs, start after start: a directory, ports and an environment."""

    def __init__(self, path: Path, **settings: str) -> None:
        self.path = path
        self.state = path / ".tokhub"
        self.ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        addresses = {
            name: f"127.0.0.1:{port}" if name.endswith("LISTEN") else str(port) for name, port in self.ports.items()
        }
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(path),
            "SANDBOX_ACCOUNTS": "8",
            "SANDBOX_RATE_LIMIT": "60000",
            "TIKTOK_RATE_LIMIT_PER_MINUTE": "60000",
            **addresses,
            **settings,
        }

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.ports['PORT']}"

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.ports['SANDBOX_PORT']}"

    @property
    def admin_headers(self) -> dict[str, str]:
        return {"X-API-KEY": (self.state / "secrets" / "ADMIN_API_KEY").read_text()}

    def user_headers(self, user: str) -> dict[str, str]:
        """The header that the application which signs users in would make for an hour."""
        secret = (self.state / "secrets" / "USER_JWT_SECRET").read_text()
        return {"Authorization": f"Bearer {jwt.encode({'sub': user, 'exp': int(time.time()) + 3600}, secret)}"}

    @property
    def admin_dsn(self) -> str:
        return (self.state / "secrets" / "DATABASE_URL").read_text()

    def files(self, name: str) -> TlsFiles:
        directory = self.state / "tls"
        return TlsFiles(ca=directory / "ca.pem", certificate=directory / f"{name}.pem", key=directory / f"{name}.key")

    def channel(self, listen: str, name: str = "operator") -> grpc.aio.Channel:
        """A channel to a service, of whoever has the certificate."""
        certificates = Certificates(self.files(name), SystemClock())
        return open_channel(f"127.0.0.1:{self.ports[listen]}", certificates=certificates)

    def pid(self, name: str) -> int:
        return int((self.state / "run" / f"{name}.pid").read_text())

    def processes(self) -> list[psutil.Process]:
        """Every living process that names this directory or the database files it points to."""
        databases = {str((state / "postgres").resolve()) for state in (self.state, self.state / "live")}
        places = {str(self.path), *databases}
        return [process for process in psutil.process_iter() if names_any(process, places)]


def names_any(process: psutil.Process, places: set[str]) -> bool:
    try:
        return any(place in argument for argument in process.cmdline() for place in places)
    except psutil.Error:
        return False


class Suite:
    """One start of a suite; `said` is what it has printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []

    async def until(self, words: str) -> None:
        """Read on until a line has the words."""
        assert self.process.stdout
        while not (self.said and words in self.said[-1]):
            line = await asyncio.wait_for(self.process.stdout.readline(), 60)
            assert line, "".join(self.said)
            self.said.append(line.decode())

    async def ended(self) -> int:
        """Read to the end and return the exit status."""
        output, _ = await asyncio.wait_for(self.process.communicate(), 90)
        self.said += output.decode().splitlines(keepends=True)
        assert self.process.returncode is not None
        return self.process.returncode

    @property
    def last_line(self) -> str:
        return self.said[-1].strip()


@asynccontextmanager
async def start(home: Home, **settings: str) -> AsyncIterator[Suite]:
    """A start of the suite that is ended when the test leaves it running; it leads a process group as in a terminal."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local"),
        cwd=home.path,
        env={**home.environment, **settings},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,
    )
    suite = Suite(process)
    try:
        yield suite
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await suite.ended()


async def all_gone(home: Home, within: float) -> bool:
    """Whether no process of the suite is left within some seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while left := home.processes():
        if asyncio.get_running_loop().time() > deadline:
            return not left
        await asyncio.sleep(0.1)
    return True
