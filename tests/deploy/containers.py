"""The services of docker-compose.yml as processes of this machine: same commands, environment, checks and order."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from libs.database.embedded import EmbeddedPostgres
from libs.database.postgres.account import Account
from tests.deploy.compose_file import Compose, seconds
from tests.deploy.docker_image import Image
from tests.deploy.host_map import HostMap
from tests.deploy.name_server import name_server

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
LONGEST_START = 60.0  # seconds
STATE = "/var/lib/tokhub"


@dataclass(kw_only=True)
class Containers:
    """What a start of the file has brought up."""

    compose: Compose
    image: Image
    map: HostMap
    logs: Path
    server: EmbeddedPostgres
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    # Checks and other commands too: who fails leaves some of them at work.
    started: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def up(self) -> None:
        """Start every service after those that it waits for."""
        async with asyncio.TaskGroup() as group:
            tasks: dict[str, asyncio.Task[None]] = {}
            for name in self.compose.started:
                tasks[name] = group.create_task(self._after(name, tasks))

    async def run(self, name: str, *command: str, given: str = "") -> tuple[int, str]:
        """The status and the output of another command in a container of a service."""
        process = await self._process(name, list(command), asyncio.subprocess.PIPE)
        output, _ = await asyncio.wait_for(process.communicate(given.encode()), LONGEST_START)
        assert process.returncode is not None
        return process.returncode, output.decode()

    def kill(self, name: str) -> None:
        """End a container as the death of its process does."""
        self.running.pop(name).kill()

    async def stop(self, name: str) -> int:
        """Stop a container as Compose does and return its status; TimeoutError if its grace is not enough."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        grace = seconds(self.compose.services[name].get("stop_grace_period", "10s"))
        return await asyncio.wait_for(process.wait(), grace)

    def said(self, name: str) -> str:
        """What a container has written so far."""
        return (self.logs / name).read_text(encoding="utf-8")

    async def _after(self, name: str, others: dict[str, asyncio.Task[None]]) -> None:
        await asyncio.sleep(0)  # until all have their task
        for other in self.compose.services[name].get("depends_on", {}):
            await others[other]
        if name == "postgres":
            await self._postgres()
            return
        with (self.logs / name).open("wb") as log:
            self.running[name] = await self._process(name, self.compose.services[name]["command"], log.fileno())
        await self._fulfilled(name)

    async def _fulfilled(self, name: str) -> None:
        """Wait until a service is as those that depend on it want to have it."""
        process, check = self.running[name], self.compose.services[name].get("healthcheck", {})
        async with asyncio.timeout(LONGEST_START):
            if check.get("disable"):
                assert await self.running.pop(name).wait() == 0, self.said(name)
                return
            while (await self.run(name, *check["test"][1:]))[0] != 0:
                assert process.returncode is None, self.said(name)
                await asyncio.sleep(0.5)

    async def _process(self, name: str, command: list[str], output: int) -> asyncio.subprocess.Process:
        account = Account(self.image.account, self.image.account)
        process = await asyncio.create_subprocess_exec(
            *account.command(*(self.map.text(name, part) for part in command)),
            env=self.map.environment(name),
            cwd=self.map.text(name, STATE),
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    async def _postgres(self) -> None:
        """Let PostgreSQL have the password that its image would be told; the user and the database are there."""
        password = (self.map.volumes / "postgres-password" / "POSTGRES_PASSWORD").read_text(encoding="utf-8")
        connection = await asyncpg.connect(self.server.dsn())
        try:
            await connection.execute(f"ALTER ROLE tokhub PASSWORD '{password}'")
        finally:
            await connection.close()


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that other accounts can reach."""
    place = Path(tempfile.mkdtemp(prefix="tokhub-compose-", dir="/tmp"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place)


@asynccontextmanager
async def containers(compose: Compose, image: Image) -> AsyncIterator[Containers]:
    """Everything that the file starts, up and healthy; killed at the end if it still runs."""
    with directory() as place, EmbeddedPostgres(place / "postgres", settings=FAST) as server:
        where = HostMap(compose=compose, image=image, volumes=place / "volumes", postgres_port=server.port)
        ours = Containers(compose=compose, image=image, map=where, logs=place / "logs", server=server)
        make_directories(ours)
        async with name_server(where.names()) as where.name_server:
            try:
                sys.stdout.write("\n".join(["", *where.lines(), ""]))
                await ours.up()
                yield ours
            finally:
                await asyncio.gather(*(ended(process) for process in ours.started))


async def ended(process: asyncio.subprocess.Process) -> None:
    """Kill a process that still runs."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def make_directories(ours: Containers) -> None:
    """Make the volumes and lead the containers' paths to them."""
    ours.logs.mkdir()
    for name, service in ours.compose.services.items():
        view = ours.map.view(name)
        own(ours, view / "tmp")
        for entry in service.get("volumes", []):
            source, target, *_ = entry.split(":")
            own(ours, ours.map.volumes / source)
            mount(view / target.removeprefix("/"), ours.map.volumes / source)
        (view / STATE.removeprefix("/")).mkdir(parents=True, exist_ok=True)


def own(ours: Containers, directory: Path) -> None:
    """Make a directory; Docker gives a new volume the owner that its place has in the image."""
    directory.mkdir(parents=True, exist_ok=True)
    if ours.image.account is not None:
        os.chown(directory, ours.image.account, ours.image.account)


def mount(place: Path, volume: Path) -> None:
    """Let a container's path lead to a volume."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(volume)
