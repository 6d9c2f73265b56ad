"""Services of a case as processes that can be killed, paused and asked; the token service among them."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tokhub.token.v1 import token_pb2, token_pb2_grpc, vault_pb2_grpc

from libs.clock import SystemClock
from libs.errors import TokhubError
from libs.rpc.client import open_channel
from libs.rpc.tls import Certificates, TlsFiles
from tests.faults.history import History, Outcome, answered, connected, refused
from tests.faults.products import reference

ROOT = Path(__file__).parents[2]
SECRETS = (
    "DATABASE_URL",
    "TIKTOK_CLIENT_SECRET",
    "TIKTOK_SHOP_APP_SECRET",
    "TOKEN_ENC_KEY",
    "TOKEN_ENC_KEYS",
    "AUDIT_KEYS",
)
KEYS = ("ADMIN_API_KEY", "ADMIN_API_KEYS", "USER_JWT_SECRET")
START_WITHIN = 90.0  # seconds; a machine may be busy


def with_secret_files(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Return the environment with secrets moved to files, as they go to a shipped process."""
    directory.mkdir(parents=True, exist_ok=True)
    told = dict(environ)
    for name in (*SECRETS, *KEYS, "STATE_SECRET", "STATE_SECRETS_ACCEPTED"):
        if value := told.pop(name, ""):
            (directory / name).write_text(value, encoding="utf-8")
            told[f"{name}_FILE"] = str(directory / name)
    return told


def settings_of(files: TlsFiles) -> dict[str, str]:
    """Return what a process is told of its certificates."""
    return {"TLS_CA": str(files.ca), "TLS_CERT": str(files.certificate), "TLS_KEY": str(files.key)}


class NotServing(AssertionError):
    """A process ended or hung before it served; the text has its log."""


class ServiceProcess:
    """One process of a service; its log is a file that outlives it."""

    program = ""
    metrics_variable = ""

    def __init__(self, name: str, environ: Mapping[str, str], directory: Path, history: History) -> None:
        self.name = name
        self.directory = directory
        self.log = directory / f"{name}.log"
        self.environ = environ
        self._history = history
        self._process: asyncio.subprocess.Process | None = None
        self.channel: grpc.aio.Channel | None = None
        # Whose certificate it is called with, if it has certificates.
        self.caller: Certificates | None = None
        self.address = ""

    async def launch(self) -> None:
        """Start the process, without waiting for it."""
        for file in (*self.directory.glob("*.reached"), *self.directory.glob("*.go")):
            file.unlink()
        with self.log.open("ab") as log:
            self._process = await self._execute(log)

    async def start(self) -> None:
        """Start the process and wait until it serves."""
        offset = self.log.stat().st_size if self.log.exists() else 0
        await self.launch()
        self.address = await self._address(offset)
        await self.hang_up()
        self._call()

    def _call(self) -> None:
        self.channel = open_channel(self.address, certificates=self.caller)

    async def hang_up(self) -> None:
        """Close what leads to it; calls on their way are cancelled."""
        if self.channel:
            await self.channel.close()

    async def _execute(self, log: BinaryIO) -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", self.program)
        return await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=self.environ, stdout=log, stderr=log)

    async def _address(self, offset: int) -> str:
        give_up_at = time.monotonic() + START_WITHIN
        while time.monotonic() < give_up_at and self.alive:
            for event in self.events(offset):
                if event["msg"] == "serving":
                    return f"127.0.0.1:{event['port']}"
            await SystemClock().sleep(0.05)
        raise NotServing(f"{self.name} does not serve:\n{self.log.read_text()[offset:]}")

    def events(self, offset: int = 0) -> list[dict[str, str]]:
        """Return the log's lines that are whole, from an offset in bytes on."""
        lines = self.log.read_bytes()[offset:].split(b"\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    @property
    def metrics_port(self) -> int:
        """Where it tells Prometheus."""
        return int(self.environ[self.metrics_variable])

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process of the last start."""
        assert self._process is not None
        return self._process

    @property
    def alive(self) -> bool:
        """Return whether the process has not ended."""
        return self._process is not None and self._process.returncode is None

    async def ended(self) -> int:
        """Wait for the process to end; return its exit status, negative for a signal."""
        return await self.process.wait()

    async def kill(self) -> None:
        """End it as the power does."""
        if self.alive:
            self.process.kill()
            await self.ended()

    async def stop(self) -> int:
        """Ask it to end, as a deployment does."""
        self.process.terminate()
        return await self.ended()

    def pause(self) -> None:
        """Let it stand still."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.process.pid, signal.SIGCONT)

    async def reached(self, point: str) -> None:
        """Wait until the process holds at a point."""
        async with asyncio.timeout(START_WITHIN):
            while not (self.directory / f"{point}.reached").exists():
                await SystemClock().sleep(0.01)

    def let_go(self, point: str) -> None:
        """Let it go on from a point where it holds, now and later."""
        (self.directory / f"{point}.go").touch()

    @property
    def target(self) -> grpc.aio.Channel:
        """The channel to it."""
        assert self.channel is not None
        return self.channel

    async def serving(self) -> bool:
        """Return what its health says."""
        stub: Any = health_pb2_grpc.HealthStub(self.target)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
        except TokhubError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class Replica(ServiceProcess):
    """One process of the token service."""

    program = "tests.faults.replica"
    metrics_variable = "TOKEN_METRICS_PORT"

    @property
    def tokens(self) -> token_pb2_grpc.TokenServiceStub:
        """TokenService of this replica."""
        return token_pb2_grpc.TokenServiceStub(self.target)

    @property
    def connections(self) -> token_pb2_grpc.ConnectionServiceStub:
        """ConnectionService of this replica."""
        return token_pb2_grpc.ConnectionServiceStub(self.target)

    @property
    def vault(self) -> vault_pb2_grpc.VaultServiceStub:
        """VaultService of this replica."""
        return vault_pb2_grpc.VaultServiceStub(self.target)

    async def ask(self, code: str, *, rejected: int | None = None, min_ttl: int = 60, deadline: float = 90) -> Outcome:
        """Ask for a store's token as a service does; the outcome is noted, an error is one too."""
        request = token_pb2.GetValidTokenRequest(connection=reference(code), rejected_generation=rejected)
        request.min_ttl.FromSeconds(min_ttl)
        began = time.monotonic()
        try:
            response = await self.tokens.GetValidToken(request, timeout=deadline)
        except TokhubError as error:
            outcome = refused(error, time.monotonic() - began)
        else:
            outcome = answered(response, time.monotonic() - began)
        return self._history.note(self.name, f"GetValidToken {code}", outcome)

    async def complete(self, came_back: Mapping[str, str], nonce: str = "") -> Outcome:
        """Take what TikTok appended to a redirect, as the gateway does; the outcome is noted, an error is one too."""
        request = token_pb2.CompleteAuthorizationRequest(
            state=came_back["state"], code=came_back["code"], browser_nonce=nonce
        )
        began = time.monotonic()
        try:
            done = await self.connections.CompleteAuthorization(request, timeout=60)
        except TokhubError as error:
            outcome = refused(error, time.monotonic() - began)
        else:
            outcome = connected(done.connection, time.monotonic() - began)
        return self._history.note(self.name, "CompleteAuthorization", outcome)

    async def stampede(self, code: str, callers: int) -> list[Outcome]:
        """Ask as often at once."""
        return list(await asyncio.gather(*(self.ask(code) for _ in range(callers))))
