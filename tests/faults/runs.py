"""What cases of the sync service share: stores, many of them too, and what became of runs and items."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from benchmarks.sync_lab import ADD_STORE, grant_of
from libs.database.pool import open_pool
from libs.secret import Secret
from libs.vault.ring import parse_keys
from services.sync.__main__ import SCHEMA as REPORTING
from services.token.__main__ import SCHEMA as CREDENTIALS
from services.token.adapters.connections import PostgresConnections
from services.token.core.vault import Vault
from services.token.domain.connection import ByOwner, Owner, OwnerKind, Provider
from tests.faults.lab import Lab
from tests.faults.sync_processes import SyncReplica
from tests.faults.waiting import until
from tests.token.token_process import KEY_HEX

PATIENCE = 120.0  # seconds that a run may take on a busy machine
AT_ONCE = 8
STATES = "SELECT state FROM reporting.sync_runs WHERE id = $1::uuid"


async def connect_stores(lab: Lab, sync: SyncReplica, *codes: str) -> None:
    """Create stores and let their owners consent."""
    await sync.create_stores(*codes)
    await lab.connect(lab.replicas[0], *codes)


async def mint_stores(lab: Lab, count: int) -> list[str]:
    """Create stores whose grants were made without a page, their tokens long to live; return their codes."""
    body = {"provider": "login", "count": count, "access_seconds": 10_000_000, "refresh_seconds": 20_000_000}
    answer = await asyncio.to_thread(lambda: lab.sandbox.control.post("/sandbox/grants", json=body, timeout=120))
    lines = [json.loads(line) for line in answer.text.splitlines()]
    vault, slots = Vault(parse_keys(Secret(KEY_HEX), None)), asyncio.Semaphore(AT_ONCE)
    async with open_pool(lab.dsn, application="case", schema=CREDENTIALS) as pool:
        rows = PostgresConnections(pool=pool, replica="case")

        async def connect(line: dict[str, str]) -> None:
            grant, owner = grant_of(line), Owner(kind=OwnerKind.STORE, id=line["username"])
            async with slots:
                by_owner = ByOwner(provider=Provider.LOGIN_KIT, owner=owner)
                await rows.connect(by_owner, 1, grant, lambda *place: vault.seal(grant, *place))

        await asyncio.gather(*map(connect, lines))
    codes = [line["username"] for line in lines]
    async with open_pool(lab.dsn, application="case", schema=REPORTING) as pool:
        await pool.executemany(ADD_STORE, [(code,) for code in codes])
    lab.accounts.update(dict(zip(codes, codes, strict=True)))
    return codes


async def end_of(lab: Lab, run_id: str, within: float = PATIENCE) -> asyncpg.Record:
    """Wait for a run's end; return its row."""

    async def has_ended() -> bool:
        rows = await lab.sql(STATES, run_id)
        return bool(rows) and rows[0]["state"] not in ("queued", "running")

    await until(f"the end of run {run_id}", has_ended, within=within)
    rows = await lab.sql("SELECT * FROM reporting.sync_runs WHERE id = $1::uuid", run_id)
    return rows[0]


async def until_true(lab: Lab, what: str, query: str, *values: object, within: float = PATIENCE) -> float:
    """Wait until a query says true; return the seconds it took."""

    async def says_true() -> bool:
        return bool((await lab.sql(query, *values))[0][0])

    return await until(what, says_true, within=within)


async def items_of(lab: Lab, run_id: str) -> list[asyncpg.Record]:
    """Return a run's items by store and job."""
    return await lab.sql("SELECT * FROM reporting.sync_items WHERE run_id = $1::uuid ORDER BY subject_id, job", run_id)


async def endings(lab: Lab, run_id: str) -> dict[str, str]:
    """Return how each store's item ended, with the reason, for a run of one job."""
    return {row["subject_id"]: f"{row['outcome']} {row['reason']}".strip() for row in await items_of(lab, run_id)}


async def sync_calls(lab: Lab, code: str) -> Counter[str]:
    """Return how often TikTok was called for a store, by endpoint."""
    return Counter((await lab.ledger(code))["calls"])


def told(row: asyncpg.Record) -> str:
    """Return how a run ended in a few words."""
    counts = (f"{row[name]} {name}" for name in ("succeeded", "failed", "skipped") if row[name])
    return f"{row['state']}: {', '.join(counts)} of {row['total']}"


def tallied(found: Sequence[str]) -> str:
    """Return how often each word came."""
    return ", ".join(f"{number} x {word}" for word, number in sorted(Counter(found).items()))


@dataclass(frozen=True)
class Call:
    """A call that TikTok saw: when, in Unix seconds, from whose account, and how it answered."""

    at: float
    account: str
    outcome: str


async def calls_to(lab: Lab, endpoint: str) -> list[Call]:
    """Return the calls that an endpoint has seen, oldest first."""
    told = await asyncio.to_thread(lambda: lab.sandbox.control.get("/sandbox/ledger/events", params={"limit": 20_000}))
    return [
        Call(datetime.fromisoformat(one["at"]).timestamp(), one["open_id"], one["outcome"])
        for one in told.json()["events"]
        if (one["kind"], one["what"]) == ("called", endpoint)
    ]


async def open_ids(lab: Lab, *codes: str) -> set[str]:
    """Return what TikTok calls the accounts of stores."""
    return {str((await lab.ledger(code))["open_id"]) for code in codes}
