"""What syncing is measured with: the sandbox, a token service, sync services, and stores whose connections are live."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from benchmarks.ground import Database, Ground
from benchmarks.processes import Program, running
from libs.database.migrations import migrate
from libs.database.pool import open_pool
from libs.errors import StorageUnavailable
from libs.rpc.client import open_channel
from libs.secret import Secret
from libs.vault.ring import parse_keys
from services.sync.__main__ import MIGRATIONS, SCHEMA
from services.token.adapters.connections import PostgresConnections
from services.token.core.vault import Vault
from services.token.domain.connection import ByOwner, Owner, OwnerKind, Provider
from services.token.domain.grant import Grant

CLIENT = {"TIKTOK_CLIENT_KEY": "sbawtokhubsandbox", "TIKTOK_CLIENT_SECRET": "CNRYsandboxclientsecret"}
LONG, LONGER = 10_000_000, 20_000_000  # seconds that tokens live: none is refreshed while something is measured
AT_ONCE = 8
ATTEMPTS = 60
ADD_STORE = "INSERT INTO stores (store_code, store_name, pic_name) VALUES ($1, $1, 'benchmark')"
LOGS = count(1)


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A running sync service."""

    program: Program
    port: int

    async def start(self, job: sync_pb2.Job.ValueType) -> str:
        """Start a run over all stores; return its id."""
        async with open_channel(f"127.0.0.1:{self.port}") as channel:
            request = sync_pb2.StartSyncRequest(job=job)
            request.all.SetInParent()
            return str((await sync_pb2_grpc.SyncServiceStub(channel).StartSync(request)).run.id)

    async def end_of(self, run_id: str) -> sync_pb2.Progress:
        """Wait for a run's end."""
        last = sync_pb2.Progress()
        async with open_channel(f"127.0.0.1:{self.port}") as channel:
            watch = sync_pb2_grpc.SyncServiceStub(channel).WatchSync(sync_pb2.WatchSyncRequest(run_id=run_id))
            async for message in watch:
                last = message.progress
        return last

    async def complete(self, job: sync_pb2.Job.ValueType, stores: int) -> None:
        """Sync all stores; a run that did not succeed is no measurement."""
        await self.finish(await self.start(job), stores)

    async def finish(self, run_id: str, stores: int) -> None:
        """Wait for the end of a run that has to succeed for so many stores."""
        check(await self.end_of(run_id), stores)

    def kill(self) -> None:
        """End it as the power does."""
        self.program.process.kill()


def check(end: sync_pb2.Progress, stores: int) -> None:
    """Raise unless the run succeeded for so many stores."""
    if end.state != sync_pb2.RUN_STATE_SUCCEEDED or end.succeeded != stores:
        raise RuntimeError(f"the run did not succeed for {stores} stores: {end}")


@dataclass(frozen=True, kw_only=True)
class SyncLab:
    """All of it; processes are gone when the lab closes."""

    ground: Ground
    database: Database
    tiktok_port: int
    token: Program
    token_port: int
    processes: ExitStack = field(repr=False)

    @property
    def tiktok(self) -> str:
        """TikTok's address."""
        return f"http://127.0.0.1:{self.tiktok_port}"

    @property
    def sync_settings(self) -> Mapping[str, str]:
        """What a sync service needs; all else is as it is shipped."""
        return {
            "DATABASE_URL": self.database.dsn.reveal(),
            "TOKEN_TARGET": f"127.0.0.1:{self.token_port}",
            "TIKTOK_API_BASE_URL": self.tiktok,
            "SYNC_LISTEN": "127.0.0.1:0",
            "SYNC_METRICS_PORT": "0",
            "CRON_ENABLED": "0",
        }

    def gateway_settings(self, replica: Replica, key: str) -> Mapping[str, str]:
        """Return what a gateway needs that lets in whoever has this key."""
        return {
            "TOKEN_TARGET": f"127.0.0.1:{self.token_port}",
            "SYNC_TARGET": f"127.0.0.1:{replica.port}",
            "PORT": "0",
            "ADMIN_API_KEY": key,
        }

    def replica(self, **settings: str) -> Replica:
        """Start a sync service, with these settings besides."""
        told = {**self.sync_settings, **settings}
        program = self.processes.enter_context(program_of(self.ground, "services.sync", told))
        return Replica(program=program, port=program.wait_for("serving")["port"])

    def gateway(self, replica: Replica, key: str) -> Program:
        """Start a gateway."""
        told = self.gateway_settings(replica, key)
        return self.processes.enter_context(program_of(self.ground, "services.gateway", told))

    def ledger(self) -> Mapping[str, Any]:
        """Return what TikTok counted."""
        found: Mapping[str, Any] = json.loads(ask(self.tiktok_port, "/sandbox/ledger"))
        return found

    def calls(self, endpoint: str) -> Iterator[Mapping[str, Any]]:
        """Yield the calls that TikTok saw, oldest first."""
        after = 0
        while True:
            page = json.loads(ask(self.tiktok_port, f"/sandbox/ledger/events?limit=5000&after={after}"))
            yield from (one for one in page["events"] if (one["kind"], one["what"]) == ("called", endpoint))
            if page["next_after"] == after:
                return
            after = page["next_after"]

    async def add_stores(self, number: int) -> list[str]:
        """Add stores, each connected to an account of its own; return their access tokens."""
        body = {"provider": "login", "count": number, "access_seconds": LONG, "refresh_seconds": LONGER}
        grants = [json.loads(line) for line in ask(self.tiktok_port, "/sandbox/grants", body).splitlines()]
        vault, together = Vault(parse_keys(Secret(self.ground.key), None)), asyncio.Semaphore(AT_ONCE)
        async with self.database.pool() as credentials:
            rows = PostgresConnections(pool=credentials, replica="benchmark")

            async def connect(line: Mapping[str, Any]) -> None:
                owner, grant = Owner(kind=OwnerKind.STORE, id=line["username"]), grant_of(line)
                async with together:
                    by_owner = ByOwner(provider=Provider.LOGIN_KIT, owner=owner)
                    await patiently(lambda: rows.connect(by_owner, 1, grant, lambda *place: vault.seal(grant, *place)))

            await asyncio.gather(*map(connect, grants))
        async with open_pool(self.database.dsn.reveal(), application="benchmark", schema=SCHEMA) as reporting:
            await reporting.executemany(ADD_STORE, [(line["username"],) for line in grants])
        return [line["access_token"] for line in grants]


async def patiently(write: Callable[[], Awaitable[object]]) -> None:
    """Write, and again after a moment in which the database could not: so many rows fill its log."""
    for _ in range(ATTEMPTS):
        with suppress(StorageUnavailable):
            await write()
            return
        await asyncio.sleep(1)
    raise StorageUnavailable


def ask(port: int, path: str, body: object = None) -> str:
    """Call the sandbox's own routes."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    if body is None:
        connection.request("GET", path)
    else:
        connection.request("POST", path, json.dumps(body))
    return connection.getresponse().read().decode()


def grant_of(line: Mapping[str, Any]) -> Grant:
    """Return a grant as the token service keeps it."""
    return Grant(
        provider=Provider.LOGIN_KIT,
        account_id=line["open_id"],
        access_token=Secret(line["access_token"]),
        access_seconds=LONG,
        access_given=LONG,
        refresh_token=Secret(line["refresh_token"]),
        refresh_seconds=LONGER,
        refresh_given=LONGER,
        scopes=tuple(line["scopes"]),
    )


def program_of(ground: Ground, module: str, settings: Mapping[str, str]) -> AbstractContextManager[Program]:
    """Return a program that runs while the context is open."""
    return running(module, ground.directory / f"sync-lab-{next(LOGS)}.log", settings)


@asynccontextmanager
async def sync_lab(ground: Ground, name: str, **sandbox: str) -> AsyncIterator[SyncLab]:
    """Yield a lab with a database of this name; the sandbox's settings are given without their prefix."""
    async with AsyncExitStack() as stack:
        database = await ground.database(name)
        await migrate(database.dsn.reveal(), MIGRATIONS, SCHEMA)
        processes = stack.enter_context(ExitStack())
        named = {f"SANDBOX_{key.upper()}": value for key, value in sandbox.items()}
        told = {"SANDBOX_PORT": "0", "SANDBOX_ACCOUNTS": "1", "SANDBOX_LATENCY_JITTER": "0", **named}
        tiktok = processes.enter_context(program_of(ground, "sandbox", told))
        tiktok_port = tiktok.wait_for("Sandbox listening")["port"]
        settings = ground.settings(database, f"http://127.0.0.1:{tiktok_port}", JOURNAL_MODE="off", **CLIENT)
        token = processes.enter_context(program_of(ground, "services.token", settings))
        yield SyncLab(
            ground=ground,
            database=database,
            tiktok_port=tiktok_port,
            token=token,
            token_port=token.wait_for("serving")["port"],
            processes=processes,
        )
