"""Key rotations of real processes under load, each killed in the middle: afterwards every row must open.

`rotate_under_fire` is the whole of it; the sizes decide whether it takes seconds or minutes.
"""

import asyncio
import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tokhub.token.v1 import token_pb2, token_pb2_grpc, vault_pb2, vault_pb2_grpc

from libs.clock import SystemClock
from libs.database.pool import Pool, open_pool
from libs.errors import TokhubError
from libs.rpc.client import open_channel
from libs.secret import Secret
from libs.vault.ring import KeyRing, header, parse_keys
from services.token.__main__ import SCHEMA
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.journal.journal import NoJournal
from services.token.adapters.login_kit import SCOPES_ASKED
from services.token.adapters.sealed_rows import PostgresSealedRows
from services.token.adapters.verifications import PostgresVerifications
from services.token.core.vault import Vault
from services.token.core.verification import Verification, Verified
from services.token.domain.connection import ByOwner, Owner, OwnerKind, Provider
from services.token.domain.grant import Grant
from tests.fixtures_sandbox import SandboxProcess
from tests.token.rpc_client import reference
from tests.token.token_process import TokenProcess, environment, launch

FIRST_ACCOUNT = 1001  # those below are other tests'


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of everything. Keys are handed out so many at once, and one rotation of them is killed."""

    stores: int
    rotations: int
    refreshes_per_second: float
    keys_at_once: int = 1

    def known_at(self, number: int) -> int:
        """Return the newest key that every replica knows when this one becomes active."""
        return min(-(-number // self.keys_at_once) * self.keys_at_once, self.rotations)

    def begins_group(self, number: int) -> bool:
        """Return whether this is the first of the keys that are handed out together."""
        return (number - 1) % self.keys_at_once == 0

    def is_killed(self, number: int) -> bool:
        """Return whether the rotation to this key is killed in the middle."""
        return number % self.keys_at_once == self.keys_at_once // 2


@dataclass(frozen=True, kw_only=True)
class Vaulted:
    """What the rows hold afterwards."""

    verified: Verified
    rows_under_old_keys: int
    lost_tokens: int
    dead_tokens_presented: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was done, and what is left of it."""

    refreshes: int
    refused: Mapping[str, int]
    killed_in_a_batch: int
    vaulted: Vaulted


def ring_text(first: int, known: int = 0) -> str:
    """Return TOKEN_ENC_KEYS with this key first, and behind it all before it and those after it that are known."""
    numbers = [first, *(number for number in range(max(first, known), -1, -1) if number != first)]
    return ",".join(f"k{number}:{hashlib.sha256(b'%d' % number).hexdigest()}" for number in numbers)


def ring_of(newest: int) -> KeyRing:
    """Return the ring of ring_text."""
    return parse_keys(None, Secret(ring_text(newest)))


class Replica:
    """A token service that is started again with other keys, or killed."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def start(self, first: int, known: int = 0) -> None:
        keys = {"TOKEN_ENC_KEY": "", "TOKEN_ENC_KEYS": ring_text(first, known)}
        self._service = TokenProcess(await launch({**self._environ, **keys}))
        await self._service.wait_until_serving()
        self._draining = asyncio.create_task(self._service.process.communicate())
        self.channel = open_channel(self._service.target)

    async def stop(self) -> None:
        self._service.process.terminate()
        await self._ended()

    async def kill(self) -> None:
        self._service.process.kill()
        await self._ended()

    async def restart(self, first: int, known: int) -> None:
        await self.stop()
        await self.start(first, known)

    async def _ended(self) -> None:
        await self._draining
        await self.channel.close()

    async def rotate_until(self, stage: vault_pb2.RotationStage.ValueType) -> None:
        call = vault_pb2_grpc.VaultServiceStub(self.channel).RotateKeys(vault_pb2.RotateKeysRequest())
        async for step in call:
            if step.progress.stage == stage:
                break
        call.cancel()

    async def rotate_until_settling(self) -> None:
        await self.rotate_until(vault_pb2.ROTATION_STAGE_SETTLING)

    async def rotate_to_the_end(self) -> None:
        """Settle too: what was sealed with the key before until everybody knew of the new one is sealed anew."""
        await self.rotate_until(vault_pb2.ROTATION_STAGE_DONE)


class Load:
    """Refreshes of random stores at a steady rate, by whichever replica is told to take them."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._calls: set[asyncio.Task[None]] = set()
        self.target: Replica | None = None
        self.refreshed = 0
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(1 / self._size.refreshes_per_second)
            if self.target:
                call = asyncio.create_task(self._refresh(self.target, random.randrange(self._size.stores)))
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)

    async def move(self, target: Replica | None) -> None:
        """Let others take the load, and wait for what is on its way."""
        self.target = target
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _refresh(self, replica: Replica, number: int) -> None:
        request = token_pb2.RefreshTokenRequest(
            connection=reference(f"shop-{number}"), request_id=f"{random.getrandbits(64):x}"
        )
        try:
            await token_pb2_grpc.TokenServiceStub(replica.channel).RefreshToken(request)
            self.refreshed += 1
        except TokhubError as error:
            self.refused[error.reason] += 1


async def rotate_under_fire(dsn: str, sandbox: SandboxProcess, journal: Path, size: Size) -> Outcome:
    """Rotate as often as asked, killing the process that rotates in the middle of a batch."""
    async with open_pool(dsn, application="campaign", schema=SCHEMA) as pool:
        await connect_stores(pool, sandbox, size.stores)
        environ = environment(dsn, sandbox, journal)
        steady, victim = Replica(environ), Replica(environ)
        load, killed = Load(size), 0
        driving = asyncio.create_task(load.run())
        try:
            await asyncio.gather(steady.start(0), victim.start(0))
            load.target = steady
            for number in range(1, size.rotations + 1):
                known = size.known_at(number)
                await victim.restart(number, known)
                if size.begins_group(number):
                    await load.move(victim)
                    await steady.restart(number, known)
                    await load.move(steady)
                if size.is_killed(number):
                    killed += await kill_in_a_batch(pool, victim, number)
                    await disconnect_one(pool)
                    await victim.start(number, known)
                await activation(pool, number)
                await victim.rotate_until_settling()
            await load.move(None)
            await victim.rotate_to_the_end()
        finally:
            driving.cancel()
            for replica in (steady, victim):
                with suppress(ProcessLookupError):
                    await replica.stop()
        vaulted = await inspect(pool, sandbox, size)
    return Outcome(refreshes=load.refreshed, refused=load.refused, killed_in_a_batch=killed, vaulted=vaulted)


async def activation(pool: Pool, number: int) -> None:
    """Wait until a key is active: a replica that was killed before it came is counted as alive for a while."""
    active = "SELECT key_id FROM key_canaries ORDER BY activated_at DESC NULLS LAST LIMIT 1"
    while await pool.fetchval(active) != f"k{number}":
        await SystemClock().sleep(0.1)


BATCH_WAITS = """
    SELECT EXISTS (SELECT FROM pg_stat_activity
        WHERE $1::int = ANY (pg_blocking_pids(pid)) AND query LIKE '%access_before%')
"""


async def kill_in_a_batch(pool: Pool, victim: Replica, number: int) -> bool:
    """Kill a replica while a batch of its rotation waits for a row; return whether it was in one.

    It is in none when refreshes have sealed every row anew by then.
    """
    await activation(pool, number)
    async with pool.acquire() as holder, holder.transaction():
        me = await holder.fetchval("SELECT pg_backend_pid()")
        old = await holder.fetchval(
            "SELECT id FROM connections WHERE id = (SELECT id FROM connections WHERE status <> 'DISCONNECTED' "
            "AND substring(access_token FOR length($1::bytea)) <> $1 ORDER BY number DESC LIMIT 1) FOR UPDATE",
            header(f"k{number}"),
        )
        if old is None:
            await victim.kill()
            return False
        rotating = asyncio.create_task(victim.rotate_until_settling())
        async with asyncio.timeout(60):
            while not await pool.fetchval(BATCH_WAITS, me):
                await SystemClock().sleep(0.05)
        await victim.kill()
        await asyncio.gather(rotating, return_exceptions=True)
    unfinished = "SELECT EXISTS (SELECT FROM key_rotation WHERE key_id = $1 AND stage = 'REWRITING')"
    return bool(await pool.fetchval(unfinished, f"k{number}"))


async def disconnect_one(pool: Pool) -> None:
    """Disconnect a store as far as its row goes."""
    await pool.execute(
        "UPDATE connections SET status = 'DISCONNECTED', epoch = epoch + 1 WHERE id = "
        "(SELECT id FROM connections WHERE status = 'ACTIVE' AND lease_until IS NULL ORDER BY random() LIMIT 1)"
    )


async def connect_stores(pool: Pool, sandbox: SandboxProcess, stores: int) -> None:
    """Store grants of the sandbox under the first key."""
    vault, connections = Vault(ring_of(0)), PostgresConnections(pool=pool, replica="setup")
    body = {"provider": "login", "count": stores, "first": FIRST_ACCOUNT}
    answer = await asyncio.to_thread(lambda: sandbox.control.post("/sandbox/grants", json=body).raise_for_status())
    for number, line in enumerate(answer.text.splitlines()):
        grant = grant_of(json.loads(line))
        await connections.connect(
            ByOwner(provider=Provider.LOGIN_KIT, owner=Owner(kind=OwnerKind.STORE, id=f"shop-{number}")),
            1,
            grant,
            partial(vault.seal, grant),
        )


def grant_of(minted: Mapping[str, str]) -> Grant:
    """Return a minted grant as the core has it."""
    return Grant(
        provider=Provider.LOGIN_KIT,
        account_id=minted["open_id"],
        access_token=Secret(minted["access_token"]),
        access_seconds=7200,
        access_given=7200,
        refresh_token=Secret(minted["refresh_token"]),
        refresh_seconds=15_552_000,
        refresh_given=15_552_000,
        scopes=SCOPES_ASKED,
    )


async def inspect(pool: Pool, sandbox: SandboxProcess, size: Size) -> Vaulted:
    """Open every row, and hold it against what the sandbox gave last."""
    vault, rows = Vault(ring_of(size.rotations)), PostgresSealedRows(pool)
    audit = PostgresVerifications(pool=pool, replica="inspecting")
    verification = Verification(rows=rows, vault=vault, journal=NoJournal(), audit=audit)
    parts = [part async for part in verification.verify()]
    verified = parts[-1]
    assert isinstance(verified, Verified)
    lost = dead = 0
    for row in await rows.page(0, size.stores):
        account = await pool.fetchval("SELECT account_id FROM connections WHERE id = $1", row.connection_id)
        ledger = await asyncio.to_thread(sandbox.ledger, account)
        token = vault.open_refresh(row.tokens.refresh, row.connection_id, row.version)
        lost += token.reveal() not in {grant["live_refresh_token"] for grant in ledger["grants"]}
        dead += sum(grant["dead_refresh_tokens_presented"] for grant in ledger["grants"])
    return Vaulted(
        verified=verified,
        rows_under_old_keys=await rows.count_outside(vault.active_header),
        lost_tokens=lost,
        dead_tokens_presented=dead,
    )
