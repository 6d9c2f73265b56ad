"""Everything a case needs, for itself alone: a PostgreSQL server, a TikTok, token services and stores."""

import asyncio
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from tokhub.token.v1 import token_pb2

from libs.clock import SystemClock
from libs.database.embedded import EmbeddedPostgres
from libs.rpc.tls import Certificates
from services.token.adapters.timeline import CHANNEL
from tests.faults.gateway_processes import NO_LIMITS, GatewayReplica
from tests.faults.history import History
from tests.faults.processes import Replica, ServiceProcess, settings_of, with_secret_files
from tests.faults.products import start_of, token_endpoint
from tests.faults.sync_processes import SyncReplica
from tests.fixtures_sandbox import SandboxProcess, running_sandbox
from tests.rpc.certified import HERE, Office
from tests.sync.sync_process import environment as sync_environment
from tests.token.token_process import AUDIT_KEYS, environment


@dataclass
class Allowed:
    """What a case admits beforehand: everything else is found by the invariants.

    lost: stores whose answer dies with a process, with no way to save it; each must be named with reason
    lost_response. ended: stores whose grant is ended, by TikTok or by a disconnect. repeats: how often a superseded
    refresh token may be presented, each once. findings: how many of them once more, because the repeat's answer was
    lost too and nothing but an answer tells whether the token lives. unreadable: stores whose ciphertext the case has
    damaged. bent: stores of which TikTok says something else than it shows by itself; the case looks at their rows.
    reasons: why items may fail beyond the documented ones.
    """

    lost: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    bent: set[str] = field(default_factory=set)
    reasons: set[str] = field(default_factory=set)
    repeats: int = 0
    findings: int = 0


class Lab:
    """One case's world."""

    def __init__(
        self, *, directory: Path, postgres: EmbeddedPostgres, sandbox: SandboxProcess, history: History
    ) -> None:
        self.directory = directory
        self.postgres = postgres
        self.sandbox = sandbox
        self.history = history
        self.allowed = Allowed()
        self.replicas: list[Replica] = []
        self.syncs: list[SyncReplica] = []
        self.gateways: list[GatewayReplica] = []
        self.office: Office | None = None
        self.secrets = {name: secrets.token_hex(24) for name in ("ADMIN_API_KEY", "USER_JWT_SECRET")}
        self.accounts: dict[str, str] = {}
        # States of links and nonces of browsers, which are secrets that no file holds.
        self.made: set[str] = set()
        self.dsn = postgres.dsn()
        self.data = postgres.log.parent / "data"
        # What a case opens and the invariants still need.
        self.opened = AsyncExitStack()

    @property
    def journal(self) -> Path:
        """Where the replicas keep their journals, if they are on one machine."""
        return self.directory / "journal"

    async def replica(self, name: str = "a", *, fail: str = "", **environ: str) -> Replica:
        """Start a token service that serves."""
        replica = self.prepared(name, fail=fail, **environ)
        await replica.start()
        return replica

    def prepared(self, name: str = "a", *, fail: str = "", **environ: str) -> Replica:
        """Return a token service that is yet to be started; fail is its FAIL_POINTS."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        told = environment(self.dsn, self.sandbox, self.journal)
        told |= {"FAIL_POINTS": fail, "FAIL_POINTS_DIR": str(directory), "TOKEN_METRICS_PORT": free_port()}
        told |= {"AUDIT_DIR": str(self.directory / "audit"), **environ}
        told = {"LOG_LEVEL": "debug", **self._identity("token"), **told}
        replica = Replica(name, with_secret_files(told, directory / "secrets"), directory, self.history)
        replica.caller = self._operator()
        self.replicas.append(replica)
        return replica

    @property
    def processes(self) -> Sequence[ServiceProcess]:
        """All services of the case."""
        return (*self.replicas, *self.syncs, *self.gateways)

    def certify(self) -> None:
        """Give certificates to every service that is prepared from now on; the case calls them as an operator."""
        self.office = Office(self.directory / "office")

    def _identity(self, service: str) -> dict[str, str]:
        return settings_of(self.office.files(f"svc/{service}", hosts=HERE)) if self.office else {}

    def _operator(self) -> Certificates | None:
        return self.office.certificates("operator/case") if self.office else None

    async def sync(self, name: str = "sync", *, fail: str = "", **environ: str) -> SyncReplica:
        """Start a sync service that serves; it gets its tokens from the first replica."""
        replica = self.prepared_sync(name, fail=fail, **environ)
        await replica.start()
        return replica

    def prepared_sync(self, name: str = "sync", *, fail: str = "", **environ: str) -> SyncReplica:
        """Return a sync service that is yet to be started; fail is its FAIL_POINTS."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        told = sync_environment(self.dsn, self.replicas[0].address, self.sandbox)
        told |= {"FAIL_POINTS": fail, "FAIL_POINTS_DIR": str(directory), "SYNC_METRICS_PORT": free_port()}
        told |= {"AUDIT_KEYS": AUDIT_KEYS, "AUDIT_DIR": str(self.directory / "audit"), **environ}
        told = {"PATH": os.environ["PATH"], "LOG_LEVEL": "debug", **self._identity("sync"), **told}
        replica = SyncReplica(name, with_secret_files(told, directory / "secrets"), directory, self.history)
        replica.caller = self._operator()
        self.syncs.append(replica)
        return replica

    async def gateway(self, name: str = "gateway", **environ: str) -> GatewayReplica:
        """Start a gateway that serves, before the first token and sync service; without limits unless told others."""
        gateway = self.prepared_gateway(name, **environ)
        await gateway.start()
        return gateway

    def prepared_gateway(self, name: str = "gateway", **environ: str) -> GatewayReplica:
        """Return a gateway that is yet to be started."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        targets = {"TOKEN_TARGET": self.replicas[0].address, "SYNC_TARGET": self.syncs[0].address}
        told = {"PATH": os.environ["PATH"], "PORT": "0", "DATABASE_URL": self.dsn, "LOG_LEVEL": "debug", **targets}
        told |= {**self.secrets, **NO_LIMITS, **self._identity("gateway"), **environ}
        gateway = GatewayReplica(name, with_secret_files(told, directory / "secrets"), directory, self.history)
        self.gateways.append(gateway)
        return gateway

    async def connect(self, replica: Replica, *codes: str) -> None:
        """Let the owners of stores consent, each with an account of its own."""
        for code in codes:
            await self.connect_account(replica, code, self.sandbox.next_account())

    async def connect_account(self, replica: Replica, code: str, account: str) -> token_pb2.Connection:
        """Let the owner of a store consent with this account."""
        link = await replica.connections.StartAuthorization(start_of(code))
        self.made.add(link.state)
        came_back = await asyncio.to_thread(self.sandbox.consent, link.authorize_url, account)
        done = await replica.connections.CompleteAuthorization(
            token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
        )
        self.accounts[code] = account
        return done.connection

    async def connect_seller(self, replica: Replica, code: str) -> None:
        """Let a seller of its own consent for a store on TikTok Shop; the code begins with seller."""
        seller = self.sandbox.next_seller()
        link = await replica.connections.StartAuthorization(start_of(code))
        came_back = await asyncio.to_thread(self.sandbox.agree, link.authorize_url, seller)
        await replica.connections.CompleteAuthorization(
            token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
        )
        self.accounts[code] = seller

    async def sql(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Run a statement in the schema of the token service as the superuser."""
        database = await asyncpg.connect(self.dsn, server_settings={"search_path": "credentials"})
        try:
            rows: list[asyncpg.Record] = await database.fetch(statement, *values)
        finally:
            await database.close()
        return rows

    async def script(self, statements: str) -> None:
        """Run statements that have no parameters and no result as the superuser, together."""
        database = await asyncpg.connect(self.dsn)
        try:
            await database.execute(statements)
        finally:
            await database.close()

    async def row(self, code: str) -> asyncpg.Record:
        """Return a store's row."""
        return (await self.sql("SELECT * FROM connections WHERE owner_id = $1", code))[0]

    async def saved(self, code: str, generation: int) -> None:
        """Wait until a store's row has a generation."""
        async with asyncio.timeout(60):
            while (await self.row(code))["generation"] < generation:
                await SystemClock().sleep(0.05)

    async def leave(self, left: str, *codes: str) -> None:
        """Let the access tokens of stores (all without any) have so much time left, as an interval."""
        await self.sql(
            "UPDATE connections SET access_expires_at = clock_timestamp() + $1::text::interval, "
            "received_at = clock_timestamp() + $1::text::interval - interval '2 h' "
            "WHERE $2::text[] = '{}' OR owner_id = ANY ($2) RETURNING pg_notify($3, id::text)",
            left,
            list(codes),
            CHANNEL,
        )

    async def expire(self, *codes: str) -> None:
        """Let the access tokens of stores (all without any) be over."""
        await self.leave("-1 s", *codes)

    async def ledger(self, code: str) -> dict[str, Any]:
        """Return what TikTok counted for a store's account."""
        return await asyncio.to_thread(self.sandbox.ledger, self.accounts[code])

    async def refreshes(self, code: str) -> int:
        """Return how often TikTok rotated a store's token."""
        return sum(grant["refreshes"] for grant in (await self.ledger(code))["grants"])

    async def calls(self, endpoint: str = "token") -> int:
        """Return how many calls an endpoint of TikTok has seen, consents included."""
        answer = await asyncio.to_thread(self.sandbox.control.get, "/sandbox/ledger")
        return int(answer.json()["calls"].get(endpoint, 0))

    async def fault(self, kind: str, code: str = "*", /, *, endpoint: str = "", **more: Any) -> None:
        """Script a fault for the next token calls of a store's account, or of all."""
        account, where = self.accounts.get(code, "*"), endpoint or token_endpoint(code)
        await asyncio.to_thread(lambda: self.sandbox.fault(kind, account, endpoint=where, **more))

    async def no_faults(self) -> None:
        """Forget all faults that are still to come."""
        await asyncio.to_thread(self.sandbox.control.delete, "/sandbox/faults")

    async def switch(self, **switches: object) -> None:
        """Change how the sandbox behaves."""
        answer = await asyncio.to_thread(lambda: self.sandbox.control.patch("/sandbox/settings", json=switches))
        answer.raise_for_status()

    async def status(self, code: str) -> str:
        """Return a store's status and reason, as the row has them."""
        return (await self.statuses(code))[code]

    async def statuses(self, *codes: str) -> dict[str, str]:
        """Return the status and reason of stores, as their rows have them."""
        rows = await self.sql("SELECT * FROM connections WHERE owner_id = ANY ($1)", list(codes))
        return {row["owner_id"]: f"{row['status']} {row['reason'] or ''}".strip() for row in rows}


def free_port() -> str:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


@contextmanager
def ground(kept: Path) -> Iterator[Path]:
    """Empty the directory that is kept, and yield one that is not; its path is short, as sockets need it."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    place = Path(tempfile.mkdtemp(prefix="tokhub-faults-", dir="/tmp"))
    place.chmod(0o711)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@asynccontextmanager
async def laboratory(kept: Path, **sandbox_settings: str) -> AsyncIterator[Lab]:
    """Yield a world of its own; its logs, history and journals stay in the directory, its database does not."""
    async with AsyncExitStack() as stack:
        place = await asyncio.to_thread(stack.enter_context, ground(kept))
        postgres = EmbeddedPostgres(place / "postgres")
        await asyncio.to_thread(postgres.start)
        stack.push_async_callback(asyncio.to_thread, postgres.stop)
        sandbox = await asyncio.to_thread(stack.enter_context, running_sandbox(**sandbox_settings))
        history = History.at(kept / "history.jsonl")
        stack.callback(history.close)
        lab = Lab(directory=kept, postgres=postgres, sandbox=sandbox, history=history)
        stack.push_async_callback(end, lab)
        yield lab


async def end(lab: Lab) -> None:
    """Leave no process behind."""
    for process in lab.processes:
        if process.alive:
            process.resume()
            await process.kill()
        await process.hang_up()
    await lab.opened.aclose()
