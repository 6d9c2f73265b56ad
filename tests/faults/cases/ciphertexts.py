"""Faults of what is stored: ciphertexts moved, damaged, or taken back to what they were."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from uuid import uuid4

from tokhub.token.v1 import token_pb2, vault_pb2

from libs.database.pool import Pool, open_pool
from libs.errors import TokhubError
from services.token.__main__ import SCHEMA
from services.token.adapters.timeline import CHANNEL
from tests.faults.case import case, expect
from tests.faults.history import Outcome
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import reference
from tests.faults.waiting import until

VICTIM, OTHER, BYSTANDER = "shop-1", "shop-2", "shop-3"
UNREADABLE = "SUSPECT unreadable"

# What somebody who can write the table might do to the victim's row: mine is that row, other another store's, and
# before the victim's row as it was before its last refresh.
MOVES: Mapping[str, str] = {
    "another row's access": "access_token = other.access_token",
    "another row's refresh": "refresh_token = other.refresh_token",
    "another row's both": "access_token = other.access_token, refresh_token = other.refresh_token",
    "fields exchanged": "access_token = mine.refresh_token, refresh_token = mine.access_token",
    "the access token twice": "refresh_token = mine.access_token",
    "the refresh token twice": "access_token = mine.refresh_token",
    "an older generation's access": "access_token = before.access_token",
    "an older generation's refresh": "refresh_token = before.refresh_token",
    "an older generation's number": "generation = mine.generation - 1",
    "a later generation's number": "generation = mine.generation + 1",
    "another epoch's number": "epoch = mine.epoch + 1",
}

MOVE = """
    UPDATE connections AS changed SET {} FROM connections AS mine, connections AS other, before
    WHERE changed.owner_id = $1 AND mine.id = changed.id AND before.id = changed.id AND other.owner_id = $2
    RETURNING pg_notify($3, changed.id::text)
"""


async def keep_copy(lab: Lab, name: str) -> None:
    """Keep the rows as they are now."""
    await lab.sql(f"CREATE TABLE {name} AS SELECT * FROM connections")


async def put_row(lab: Lab, code: str, source: str) -> None:
    """Put a store's row back as it was kept."""
    await lab.sql("DELETE FROM connections WHERE owner_id = $1", code)
    query = f"INSERT INTO connections OVERRIDING SYSTEM VALUE SELECT * FROM {source} WHERE owner_id = $1 "
    await lab.sql(query + "RETURNING pg_notify($2, id::text)", code, CHANNEL)


async def rotated(lab: Lab, replica: Replica, *codes: str) -> list[Outcome]:
    """Refresh stores, and wait until their rows are saved."""
    await lab.expire(*codes)
    outcomes = list(await asyncio.gather(*(replica.ask(code) for code in codes)))
    for code, outcome in zip(codes, outcomes, strict=True):
        expect(outcome.fresh, f"{code}: {outcome}")
        await lab.saved(code, outcome.generation)
    return outcomes


async def refresh(replica: Replica, code: str) -> str:
    """Ask for a refresh, which opens the refresh token; return the reason of an error."""
    try:
        request = token_pb2.RefreshTokenRequest(connection=reference(code), request_id=uuid4().hex)
        await replica.tokens.RefreshToken(request, timeout=60)
    except TokhubError as error:
        return error.reason
    return ""


async def opened(replica: Replica, code: str) -> str:
    """Let the access token of a store be opened and, if it does, the refresh token; return what was said."""
    outcome = await replica.ask(code)
    return await refresh(replica, code) if outcome.served else str(outcome)


async def found_by_verify(replica: Replica) -> Counter[str]:
    """Return how many fields of each store VerifyVault finds unreadable."""
    parts = [part async for part in replica.vault.VerifyVault(vault_pb2.VerifyVaultRequest())]
    return Counter(part.unreadable.owner.split()[-1] for part in parts if part.HasField("unreadable"))


async def named(lab: Lab, replica: Replica, code: str) -> str:
    """Return what is told of a store: row, timeline, log; each has to name it."""
    row = await lab.row(code)
    events = await lab.sql("SELECT kind, reason FROM connection_events WHERE connection_id = $1", row["id"])
    logged = [
        line for line in replica.events() if line["level"] == "error" and line.get("connection") == str(row["id"])
    ]
    expect(("SUSPECT", row["reason"]) in {(event["kind"], event["reason"]) for event in events}, f"{code}: no event")
    expect(bool(logged), f"{code}: no error in the log")
    return await lab.status(code)


@case(
    "S09",
    fault="ciphertexts swapped between rows, fields, generations and epochs, one after the other",
    expected="each is refused and that store named (SUSPECT, event, error in the log); the others are served",
)
async def swapped_ciphertexts(lab: Lab) -> str:
    replica, other = await lab.replica("a"), await lab.replica("b")
    await lab.connect(replica, VICTIM, OTHER, BYSTANDER)
    await keep_copy(lab, "before")
    await rotated(lab, replica, VICTIM, OTHER, BYSTANDER)
    await keep_copy(lab, "whole")
    for move, change in MOVES.items():
        await lab.sql(MOVE.format(change), VICTIM, OTHER, CHANNEL)
        said = await opened(other, VICTIM)
        expect(said == "SERVER_MISCONFIG", f"{move}: {said}")
        expect(await named(lab, other, VICTIM) == UNREADABLE, f"{move}: {await lab.status(VICTIM)}")
        expect(list(await found_by_verify(other)) == [VICTIM], f"{move}: verify found {await found_by_verify(other)}")
        rest = [str(await one.ask(code)) for one in (replica, other) for code in (OTHER, BYSTANDER)]
        expect(rest == ["FRESH 2"] * 4, f"{move}: the others {rest}")
        await put_row(lab, VICTIM, "whole")
    outcomes = await rotated(lab, other, VICTIM, OTHER, BYSTANDER)
    return f"{len(MOVES)} moves: each {UNREADABLE}, found by VerifyVault; others served; then {outcomes[0]}"


@case(
    "S09 old row",
    fault="one store's old row put back, whole, under running services: at the replica that rotated it, at another",
    expected="the spent token is never presented; the journal's generation is newer, and it heals the row",
)
async def old_row_put_back(lab: Lab) -> str:
    replicas = [await lab.replica("a"), await lab.replica("b")]
    await lab.connect(replicas[0], VICTIM, OTHER)
    await lab.expire()
    await keep_copy(lab, "before")
    await rotated(lab, replicas[0], VICTIM, OTHER)
    last, seen, took = 2, [], []
    for asked in replicas:
        await put_row(lab, VICTIM, "before")
        first = await asked.ask(VICTIM)
        expect(str(first) == "STORAGE_UNAVAILABLE" and await lab.status(VICTIM) != "ACTIVE", first)
        expect(await named(lab, asked, VICTIM) in ("SUSPECT put_back", "ACTIVE"), await lab.status(VICTIM))
        seen.append(str(first))
        took.append(await until("the row healed", partial(is_back, lab, last)))
        (outcome,) = await rotated(lab, asked, VICTIM)
        last = outcome.generation
        expect(str(await asked.ask(OTHER)) == "FRESH 2", "the other store")
    return (
        f"{', '.join(seen)}; healed after {', '.join(f'{one:.1f} s' for one in took)}; then FRESH {last}, no dead token"
    )


async def is_back(lab: Lab, generation: int) -> bool:
    """Return whether the victim's row has what was journaled."""
    row = await lab.row(VICTIM)
    return bool(row["status"] == "ACTIVE" and row["generation"] == generation)


def damaged(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a ciphertext with one bit of each byte flipped, cut at each byte, and of what it never was."""
    for place, byte in enumerate(whole):
        yield f"bit of byte {place}", whole[:place] + bytes([byte ^ (1 << place % 8)]) + whole[place + 1 :]
        yield f"cut at {place}", whole[:place]
    yield "longer", whole + b"\0"
    yield "version 0", b"\0" + whole[1:]
    yield "version 255", b"\xff" + whole[1:]
    yield "unknown key", whole[:2] + b"x" * whole[1] + whole[2 + whole[1] :]
    yield "key id of no text", whole[:2] + b"\xff" * whole[1] + whole[2 + whole[1] :]
    yield "key id longer than all", whole[:1] + b"\xff" + whole[2:]
    yield "zeros", bytes(len(whole))


DAMAGE = """
    UPDATE connections SET {} = $1, status = 'ACTIVE', reason = '', next_attempt_at = NULL, failures = 0
    WHERE owner_id = $2 RETURNING pg_notify($3, id::text)
"""
TOLD = """
    SELECT status, reason, (SELECT count(*) FROM connection_events AS event
        WHERE connection_id = connections.id AND event.reason = 'unreadable') AS events
    FROM connections WHERE owner_id = $1
"""


async def damage_all(pool: Pool, replica: Replica, field: str) -> int:
    """Damage one field in every way; return in how many, having seen each refused and recorded once."""
    whole, count = await pool.fetchval(f"SELECT {field} FROM connections WHERE owner_id = $1", VICTIM), 0
    before = (await pool.fetch(TOLD, VICTIM))[0]["events"]
    for name, value in damaged(whole):
        await pool.execute(DAMAGE.format(field), value, VICTIM, CHANNEL)
        said = str(await replica.ask(VICTIM)) if field == "access_token" else await refresh(replica, VICTIM)
        count += 1
        told = tuple((await pool.fetch(TOLD, VICTIM))[0])
        expect(said == "SERVER_MISCONFIG", f"{field}, {name}: {said}")
        expect(told == ("SUSPECT", "unreadable", before + count), f"{field}, {name}: {told}, {before + count} expected")
    await pool.execute(DAMAGE.format(field), whole, VICTIM, CHANNEL)
    return count


@case(
    "S10",
    fault="every byte of one row's ciphertexts flipped and cut, other versions, unknown keys",
    expected="SERVER_MISCONFIG and one event each; never a crash or a call to TikTok; the others are served meanwhile",
)
async def damaged_ciphertexts(lab: Lab) -> str:
    replica = await lab.replica()
    await lab.connect(replica, VICTIM, OTHER)
    calls = await lab.calls()
    async with open_pool(lab.dsn, application="case", schema=SCHEMA) as pool:
        access = await damage_all(pool, replica, "access_token")
        refreshing = await damage_all(pool, replica, "refresh_token")
    expect(await lab.calls() == calls, f"{await lab.calls() - calls} calls to TikTok")
    expect(str(await replica.ask(OTHER)) == "FRESH 1", "the other store")
    outcomes = await rotated(lab, replica, VICTIM, OTHER)
    seen = f"{access} + {refreshing} damages, each SERVER_MISCONFIG and one event, 0 calls to TikTok"
    return f"{seen}; whole again: {outcomes[0]}"
