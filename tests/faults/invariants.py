"""What must hold after every case; each check returns what it found wrong, in words."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

from libs.database.pool import Pool, open_pool
from libs.errors import Reason
from libs.secret import Secret
from libs.settings import read_variable
from libs.vault.ring import CannotOpen, KeyRing, parse_keys
from services.token.__main__ import SCHEMA
from services.token.adapters.journal.entries import read_entry
from services.token.adapters.journal.records import read_bodies
from services.token.adapters.sealed_rows import PostgresSealedRows
from services.token.core.journal import newest
from services.token.core.sealed_rows import SealedRow
from services.token.core.vault import Vault
from tests.faults.audit_invariant import the_trail_is_whole
from tests.faults.canaries import leaks
from tests.faults.lab import Lab
from tests.faults.sync_invariants import every_run_ends, snapshots_are_what_tiktok_shows

READY_WITHIN = 10.0  # seconds
MOST_TOLD = 20  # of one invariant
ALIVE = ("ACTIVE", "SUSPECT")
# What PgQueuer could not tell the database in time it tells again; it says so with the error it met.
KEPT_FOR_LATER = "Flush failed, requeuing"
# Nor could it put a job back for later; the reconciler does, for the item is still open.
NOT_PUT_BACK = "await self.queries.retry_job("
# The gateway's word; what it names beside is where, never what.
UNHANDLED = "unhandled exception"

Check = Callable[[Lab], Awaitable[Sequence[str]]]


def ring_of(lab: Lab) -> KeyRing:
    """Return the keys of the replica that was started last."""
    environ = lab.replicas[-1].environ
    keys = [read_variable(name, environ) for name in ("TOKEN_ENC_KEY", "TOKEN_ENC_KEYS")]
    return parse_keys(*(Secret(value) if value else None for value in keys))


async def rows_of(pool: Pool) -> Sequence[SealedRow]:
    """Return every row that holds tokens."""
    return await PostgresSealedRows(pool).page(0, 100_000)


async def no_rotation_is_lost(lab: Lab) -> Sequence[str]:
    """I1: what TikTok gave last is in the row or in a journal; a store that has to be connected again was named."""
    vault = Vault(ring_of(lab))
    journaled = journaled_tokens(lab)
    wrong = []
    async with open_pool(lab.dsn, application="invariants", schema=SCHEMA) as pool:
        sealed = {row.owner.id: row for row in await rows_of(pool)}
        statuses = await lab.statuses(*lab.accounts)
        for code, status in statuses.items():
            live = {grant["live_refresh_token"] for grant in (await lab.ledger(code))["grants"]} - {None}
            held = journaled.get(code, set()) | opened(vault, sealed.get(code))
            wrong += judged(lab, code, status, bool(live & held))
    return wrong


def judged(lab: Lab, code: str, status: str, held: bool) -> list[str]:
    """Return what is wrong with a store, knowing whether its living refresh token is held."""
    if code in lab.allowed.ended or code in lab.allowed.unreadable:
        return []
    if code in lab.allowed.lost:
        named = status in ("REAUTH_REQUIRED LOST_RESPONSE", "REAUTH_REQUIRED lost_response") or held
        return [] if named else [f"{code} lost its answer and is {status}"]
    if not status.startswith(ALIVE):
        return [f"{code} is {status}"]
    return [] if held else [f"{code}: the token TikTok gave last is nowhere"]


def opened(vault: Vault, row: SealedRow | None) -> set[str]:
    """Return the refresh token of a row, if it opens."""
    if row is None:
        return set()
    try:
        return {vault.open_refresh(row.tokens.refresh, row.connection_id, row.version).reveal()}
    except CannotOpen:
        return set()


def journaled_tokens(lab: Lab) -> dict[str, set[str]]:
    """Return by store the newest refresh token of each journal."""
    found: dict[str, set[str]] = {}
    for path in lab.directory.rglob("*.journal"):
        bodies = read_bodies(path, ring_of(lab))
        for entry in newest(read_entry(body) for body in bodies):
            if entry.grant:
                found.setdefault(entry.owner.id, set()).add(entry.grant.refresh_token.reveal())
    return found


async def no_token_is_spent_twice(lab: Lab) -> Sequence[str]:
    """I2: a superseded refresh token is presented again only where the case admits it, and as often."""
    answer = await asyncio.to_thread(lab.sandbox.control.get, "/sandbox/ledger")
    dead: dict[str, Any] = answer.json()["dead_tokens"]
    refresh = dead.get("refresh", dead)
    admitted = {"presented_once": lab.allowed.repeats, "presented_twice": lab.allowed.findings, "presented_more": 0}
    return [
        f"{refresh[often]} dead tokens were {often.replace('_', ' ')}, {most} admitted"
        for often, most in admitted.items()
        if refresh[often] > most
    ]


async def no_secret_is_open(lab: Lab) -> Sequence[str]:
    """I5: nothing TikTok minted stands in logs, tables, journals, metrics, command lines or environments."""
    return await leaks(lab)


async def every_ciphertext_opens_in_its_place_only(lab: Lab) -> Sequence[str]:
    """I7: every row opens under the ring, and no row opens at another's place."""
    vault = Vault(ring_of(lab))
    async with open_pool(lab.dsn, application="invariants", schema=SCHEMA) as pool:
        rows = await rows_of(pool)
    wrong = [
        f"{row.owner.id}: {vault.faults(row.tokens, row.connection_id, row.version)}"
        for row in rows
        if row.owner.id not in lab.allowed.unreadable and vault.faults(row.tokens, row.connection_id, row.version)
    ]
    for one, other in pairwise(rows):
        if len(vault.faults(one.tokens, other.connection_id, other.version)) < 2:
            wrong.append(f"a token of {one.owner.id} opens in the row of {other.owner.id}")
    return wrong


async def every_replica_is_ready_again(lab: Lab) -> Sequence[str]:
    """I8: without a human, ten seconds after the fault has ended at most."""
    give_up_at = time.monotonic() + READY_WITHIN
    waiting = [process for process in lab.processes if process.alive and process.address]
    while waiting and time.monotonic() < give_up_at:
        waiting = [process for process in waiting if not await process.serving()]
        await asyncio.sleep(0.1 if waiting else 0)
    return [f"{process.name} is not ready" for process in waiting]


async def every_error_is_documented(lab: Lab) -> Sequence[str]:
    """I10: callers see reasons of the closed set, never INTERNAL, and nothing broke off unforeseen."""
    reasons = {outcome.reason for outcome in lab.history.outcomes if outcome.reason}
    wrong = [f"a caller saw {reason}" for reason in reasons if reason == Reason.INTERNAL or reason not in set(Reason)]
    for gateway in lab.gateways:
        wrong += [f"{gateway.name} answered {one}" for one in gateway.undocumented]
    for process in lab.processes:
        wrong += [f"{process.name}: {line['msg']}" for line in process.events() if unforeseen(line)]
    return wrong


def unforeseen(line: dict[str, str]) -> bool:
    """Return whether a line of a log tells of an exception that nobody foresaw; libraries warn of theirs."""
    if line["msg"].startswith(KEPT_FOR_LATER) or NOT_PUT_BACK in line.get("exception", ""):
        return False
    return line["level"] == "error" and ("exception" in line or line["msg"] == UNHANDLED)


CHECKS: dict[str, Check] = {
    "I1": no_rotation_is_lost,
    "I2": no_token_is_spent_twice,
    "I3": every_run_ends,
    "I4": snapshots_are_what_tiktok_shows,
    "I5": no_secret_is_open,
    "I6": the_trail_is_whole,
    "I7": every_ciphertext_opens_in_its_place_only,
    "I8": every_replica_is_ready_again,
    "I10": every_error_is_documented,
}


async def violations(lab: Lab) -> list[str]:
    """Return what is wrong, each with the invariant's id."""
    order = sorted(CHECKS, key=lambda name: name != "I8")
    return [f"{name}: {found}" for name in order for found in shortened(await CHECKS[name](lab))]


def shortened(found: Sequence[str]) -> Sequence[str]:
    """Return the first of many, and how many more there are."""
    more = len(found) - MOST_TOLD
    return [*found[:MOST_TOLD], f"and {more} more"] if more > 0 else found
