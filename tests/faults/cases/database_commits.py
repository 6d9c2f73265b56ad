"""Faults at the moment of a commit: cut connections, none to be had, and conflicts with other transactions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
from tokhub.token.v1 import token_pb2, vault_pb2

from tests.faults.case import case, expect
from tests.faults.cases.database_outages import counted
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import reference
from tests.faults.proxy import CutAtCommit, Proxy, Side, proxied
from tests.faults.servers import backends
from tests.faults.waiting import until
from tests.token.event_sender import removed, send
from tests.token.rotation_campaign import ring_text

CLAIM = b"lease_number + 1"
SAVE = b"'REFRESHED'"

TOUCH = "UPDATE connections SET updated_at = updated_at WHERE id = $1"
# A sequence counts on when a transaction is undone: every fourth change is let through.
CONFLICTS = """
    CREATE SEQUENCE IF NOT EXISTS credentials.conflicts;
    ALTER SEQUENCE credentials.conflicts RESTART;
    CREATE OR REPLACE FUNCTION credentials.conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('credentials.conflicts') % 4 <> 0 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = TG_ARGV[0]; END IF;
        RETURN NEW;
    END; $$;
    CREATE TRIGGER conflict BEFORE INSERT OR UPDATE ON credentials.connections
        FOR EACH ROW EXECUTE FUNCTION credentials.conflict('{state}');
"""

POOL = 2


async def proxied_address(lab: Lab) -> tuple[Proxy, str]:
    """Return a proxy before the case's server, and the address of the database through it."""
    source = urlsplit(lab.dsn)
    proxy = await lab.opened.enter_async_context(proxied("127.0.0.1", source.port or 0))
    return proxy, lab.dsn.replace(f":{source.port}/", f":{proxy.port}/")


async def cut_at(lab: Lab, statement: bytes) -> str:
    """Refresh one store while the request of a commit is lost and one while its answer is; return what was seen."""
    proxy, address = await proxied_address(lab)
    # Without a journal the caller is answered after the save, and learns what became of it.
    replica = await lab.replica(DATABASE_URL=address, JOURNAL_MODE="off")
    codes = {Side.REQUEST: "shop-1", Side.ANSWER: "shop-2"}
    await lab.connect(replica, *codes.values())
    told = []
    for side, code in codes.items():
        proxy.cut = CutAtCommit(statement, side)
        asked = await replica.ask(code, rejected=1)
        saved, refreshes = (await lab.row(code))["generation"], await lab.refreshes(code)
        told.append(f"{side.value} lost: {asked} after {asked.took:.1f} s, saved {saved}, {refreshes} refresh")
        held = (proxy.cut.done, str(asked), saved, refreshes) == (True, "FRESH 2", 2, 1)
        overtaken = [event for event in replica.events() if event["msg"] == "refresh overtaken"]
        expect(held and not overtaken and asked.took < 10, f"{told[-1]}, {len(overtaken)} taken for overtaken")
    return "; ".join(told)


@case(
    "D05 claim",
    fault="the connection is cut exactly while a claim commits, in either direction",
    expected="the caller sees no failure and does not wait for the end of a lease that nobody knows of; one refresh",
)
async def cut_at_the_claim(lab: Lab) -> str:
    return await cut_at(lab, CLAIM)


@case(
    "D05 save",
    fault="the connection is cut exactly while new tokens commit, in either direction",
    expected="the caller sees no failure; what was saved is recognised, what was not is saved again; one refresh",
)
async def cut_at_the_save(lab: Lab) -> str:
    return await cut_at(lab, SAVE)


@asynccontextmanager
async def exhausted(replica: Replica) -> AsyncIterator[None]:
    """Hold every connection of a replica's pool, by webhooks that are stopped with one in their hands."""
    holders = []
    for number in range(POOL):
        holders.append(asyncio.create_task(send(replica.connections, removed(f"nobody {number}"))))
        await replica.reached("with_connection")
        (replica.directory / "with_connection.reached").unlink()
    try:
        yield
    finally:
        replica.let_go("with_connection")
        await asyncio.gather(*holders)


@case(
    "D06",
    fault="every connection of the pool is held",
    expected="503 in 2 s (8 s here), cached tokens served, new tokens saved meanwhile (reserve); usable when it ends",
)
async def pool_exhausted(lab: Lab) -> str:
    fail = "before_commit=hold with_connection=hold@0"
    replica = await lab.replica(fail=fail, DB_POOL_SIZE=str(POOL), DB_POOL_MIN=str(POOL))
    codes = [f"shop-{number}" for number in range(5)]
    await lab.connect(replica, "cached", "refreshed", *codes)
    await replica.ask("cached")
    refreshed = await replica.ask("refreshed", rejected=1)
    await replica.reached("before_commit")
    async with exhausted(replica):
        asked = await asyncio.gather(*(replica.ask(code) for code in codes))
        cached = await replica.ask("cached")
        replica.let_go("before_commit")
        took = await until("the save", lambda: is_at(lab, "refreshed", 2))
    again = await until("a token", lambda: is_served(replica, codes[0]))
    slowest = max(outcome.took for outcome in asked)
    seen = (
        f"{counted(asked)}, slowest {slowest:.1f} s; cached {cached}; {refreshed} saved "
        f"{took:.1f} s after it was let go; usable {again:.1f} s after"
    )
    refused = {outcome.reason for outcome in asked} == {"STORAGE_UNAVAILABLE"}
    expect(refused and slowest < 8 and cached.fresh and str(refreshed) == "FRESH 2", seen)
    return seen


async def is_at(lab: Lab, code: str, generation: int) -> bool:
    """Return whether a store's row has a generation."""
    return bool((await lab.row(code))["generation"] == generation)


async def is_served(replica: Replica, code: str) -> bool:
    """Return whether a store's token can be had."""
    return (await replica.ask(code)).served


async def met(lab: Lab, replica: Replica, state: str) -> str:
    """Connect, refresh and disconnect a store while each change of its row meets three conflicts; tell what came."""
    code = f"shop-{state}"
    await lab.script(CONFLICTS.format(state=state))
    await lab.connect(replica, code)
    asked = await replica.ask(code, rejected=1)
    ended = await replica.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference(code)))
    await lab.script("DROP TRIGGER conflict ON credentials.connections")
    tries = int((await lab.sql("SELECT last_value FROM conflicts"))[0][0])
    late = [event for event in replica.events() if event["msg"] == "new tokens wait for the database"]
    seen = f"{state}: {asked}, {await lab.status(code)}, {tries - tries // 4} conflicts, {len(late)} saved late"
    gone = ended.connection.status == token_pb2.CONNECTION_STATUS_DISCONNECTED
    expect(str(asked) == "FRESH 2" and (gone, tries, late) == (True, 16, []), seen)
    return seen


@case(
    "D12 refresh",
    fault="three deadlocks, and then three serialization failures, at each of connect, claim, save and disconnect",
    expected="nobody sees any: each is repeated three times at most, with jitter",
)
async def conflicts_everywhere(lab: Lab) -> str:
    # Without a journal the caller waits for the save.
    replica = await lab.replica(JOURNAL_MODE="off")
    seen = "; ".join([await met(lab, replica, state) for state in ("40P01", "40001")])
    lab.allowed.ended.update(lab.accounts)
    return seen


@case(
    "D12 batch",
    fault="a key rotation's batch and somebody else lock the same rows in opposite order: PostgreSQL ends the batch",
    expected="nobody sees it: rows are locked in the order of their ids, and the batch is repeated",
)
async def deadlocked_rotation(lab: Lab) -> str:
    old = await lab.replica("old", TOKEN_ENC_KEY="", TOKEN_ENC_KEYS=ring_text(0))
    await lab.connect(old, "shop-1", "shop-2", "shop-3")
    await old.stop()
    new = await lab.replica("new", TOKEN_ENC_KEY="", TOKEN_ENC_KEYS=ring_text(1))
    # Found before the lock would be given up, and by the batch, as the other never looks.
    await lab.sql("ALTER SYSTEM SET deadlock_timeout = '900ms'")
    await lab.sql("SELECT pg_reload_conf()")
    first, *_, last = [row["id"] for row in await lab.sql("SELECT id FROM connections ORDER BY id")]
    other = await asyncpg.connect(lab.dsn, server_settings={"search_path": "credentials", "deadlock_timeout": "1h"})
    async with other.transaction():
        await other.execute(TOUCH, last)
        rotating = asyncio.create_task(rewritten(new, 3))
        await until("a batch in line", lambda: waits(lab))
        await other.execute(TOUCH, first)
    await other.close()
    rows = await rotating
    deadlocks = (await lab.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))[0][0]
    expect((rows, deadlocks) == (3, 1), f"{rows} of 3 rows rewritten, {deadlocks} deadlocks")
    return f"{deadlocks} deadlock, {rows} of 3 rows rewritten"


async def waits(lab: Lab) -> bool:
    """Return whether a session of the token service waits for a lock."""
    return bool(await backends(lab, "application_name LIKE 'tokhub-token%' AND wait_event_type = 'Lock'"))


async def rewritten(replica: Replica, rows: int) -> int:
    """Rotate until so many rows are rewritten; return how many are."""
    call = replica.vault.RotateKeys(vault_pb2.RotateKeysRequest())
    async for message in call:
        if message.progress.rewritten >= rows:
            call.cancel()
            return message.progress.rewritten
    return 0
