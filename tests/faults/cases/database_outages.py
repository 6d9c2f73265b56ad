"""Faults of the database that end: restarts, crashes, silence, locks, and a server that takes no writes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

from libs.clock import SystemClock
from tests.faults.case import case, expect
from tests.faults.history import Outcome
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.proxy import proxied
from tests.faults.servers import backends, crash, restart_fast
from tests.faults.waiting import until

RESTARTS = 4
SLOW_SAVE = """
    CREATE FUNCTION credentials.slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE UPDATE OF generation ON credentials.connections
        FOR EACH ROW EXECUTE FUNCTION credentials.slow();
"""
SAVING = "application_name LIKE 'tokhub-token%' AND wait_event = 'PgSleep'"


async def saved(lab: Lab, code: str, generation: int) -> float:
    """Wait until a store's row is at a generation; return the seconds."""

    async def is_saved() -> bool:
        return bool((await lab.row(code))["generation"] == generation)

    return await until(f"{code} saved at {generation}", is_saved)


async def usable(replica: Replica, code: str, *, within: float = 30) -> float:
    """Wait until a store's token can be had again; return the seconds."""

    async def has_token() -> bool:
        return (await replica.ask(code)).served

    return await until(f"{code} served", has_token, within=within)


def counted(outcomes: list[Outcome]) -> str:
    """Return how many calls ended in which way."""
    ways = [outcome.freshness or outcome.reason for outcome in outcomes]
    return ", ".join(f"{ways.count(way)} {way}" for way in sorted(set(ways)))


@asynccontextmanager
async def callers(replica: Replica, codes: list[str], *, every: float = 0.1) -> AsyncIterator[list[Outcome]]:
    """Ask for tokens at a steady rate while the context is open, each call on its own; yield what they got."""
    outcomes: list[Outcome] = []
    calls: set[asyncio.Task[None]] = set()
    newest = dict.fromkeys(codes, 1)

    async def one(number: int) -> None:
        code = codes[number % len(codes)]
        # Every fifth says that the token it has does not work: a refresh.
        rejected = newest[code] if number % 5 == 0 else None
        outcome = await replica.ask(code, rejected=rejected)
        newest[code] = max(newest[code], outcome.generation)
        outcomes.append(outcome)

    async def ask_steadily() -> None:
        number = 0
        while True:
            calls.add(asyncio.create_task(one(number)))
            number += 1
            await SystemClock().sleep(every)

    asking = asyncio.create_task(ask_steadily())
    try:
        yield outcomes
    finally:
        asking.cancel()
        await asyncio.gather(*calls)


@case(
    "D01",
    fault=f"{RESTARTS} restarts (-m fast) under load, refreshes among it",
    expected="some 503 or slower calls, never another error; served again 3 s after the server is back (5 s here)",
)
async def restarted_under_load(lab: Lab) -> str:
    replica = await lab.replica()
    codes = [f"shop-{number}" for number in range(6)]
    await lab.connect(replica, *codes)
    waits = []
    async with callers(replica, codes) as outcomes:
        for _ in range(RESTARTS):
            await SystemClock().sleep(2)
            await restart_fast(lab.postgres)
            waits.append(await usable(replica, codes[0]))
    refreshes = sum([await lab.refreshes(code) for code in codes])
    seen = f"{counted(outcomes)}; {refreshes} refreshes; served {max(waits):.1f} s after the start at the latest"
    reasons = {outcome.reason for outcome in outcomes} - {"", "STORAGE_UNAVAILABLE"}
    expect(not reasons and max(waits) < 5, seen)
    return seen


@case(
    "D02 immediate",
    fault="the server stops without a checkpoint (-m immediate) between a refresh's answer and its save",
    expected="the caller has the new token, from the journal; saved when the server is back; one refresh",
)
async def crashed_before_the_save(lab: Lab) -> str:
    replica = await lab.replica(fail="before_commit=hold")
    await lab.connect(replica, "shop-1")
    await lab.expire()
    asked = await replica.ask("shop-1")
    await replica.reached("before_commit")
    await crash(lab.postgres)
    replica.let_go("before_commit")
    meanwhile = await replica.ask("shop-1")
    await asyncio.to_thread(lab.postgres.start)
    took, refreshes = await saved(lab, "shop-1", 2), await lab.refreshes("shop-1")
    expect((str(asked), refreshes) == ("FRESH 2", 1), (asked, refreshes))
    return f"{asked}, {meanwhile} while it was down, saved {took:.1f} s after the start, {refreshes} refresh"


@case(
    "D02 stopped",
    fault="the same, and the process is told to stop while the server is away for good",
    expected="it ends when its grace of 3 s is over, with status 0: its journal has the token, and its heir saves it",
)
async def stopped_while_away(lab: Lab) -> str:
    replica = await lab.replica(fail="before_commit=hold", STOP_GRACE_SECONDS="3")
    await lab.connect(replica, "shop-1")
    await lab.expire()
    asked = await replica.ask("shop-1")
    await replica.reached("before_commit")
    await crash(lab.postgres)
    replica.let_go("before_commit")
    began = SystemClock().monotonic()
    async with asyncio.timeout(60):
        status = await replica.stop()
    took = SystemClock().monotonic() - began
    expect(await is_told(replica, "the grace of a stop is over: new tokens are left to the journal"), "no last word")
    await asyncio.to_thread(lab.postgres.start)
    heir = await (await lab.replica("heir")).ask("shop-1")
    seen = f"{asked}; status {status} after {took:.1f} s; heir: {heir}, {await lab.refreshes('shop-1')} refresh"
    expect((status, str(heir), await lab.refreshes("shop-1")) == (0, str(asked), 1), seen)
    return seen


@case(
    "D02 backend",
    fault="kill -9 of the backend that executes the save",
    expected="the same: all sessions end, the server recovers by itself",
)
async def backend_killed_in_the_save(lab: Lab) -> str:
    replica = await lab.replica()
    await lab.connect(replica, "shop-1")
    await lab.script(SLOW_SAVE)
    await lab.expire()
    asked = await replica.ask("shop-1")

    async def is_saving() -> list[int]:
        return await backends(lab, SAVING)

    await until("a save on its way", is_saving)
    for backend in await backends(lab, SAVING):
        os.kill(backend, signal.SIGKILL)
    await until("recovery", lambda: answers(lab))
    await lab.script("DROP TRIGGER slow ON credentials.connections")
    took, refreshes = await saved(lab, "shop-1", 2), await lab.refreshes("shop-1")
    expect((str(asked), refreshes) == ("FRESH 2", 1), (asked, refreshes))
    return f"{asked}, saved {took:.1f} s after the recovery, {refreshes} refresh"


async def answers(lab: Lab) -> bool:
    """Return whether the server takes statements."""
    try:
        await lab.sql("SELECT 1")
    except (OSError, asyncpg.PostgresError):
        return False
    return True


@case(
    "D08 lock",
    fault="LOCK TABLE connections IN ACCESS EXCLUSIVE MODE by another session, 60 callers",
    expected="503 within 3 s (5 s here), cached tokens served, nothing piles up, usable when the lock ends",
)
async def table_locked(lab: Lab) -> str:
    replica = await lab.replica(DB_POOL_SIZE="4")
    await lab.connect(replica, "cached", "shop-1")
    await usable(replica, "cached")
    locker = await asyncpg.connect(lab.dsn)
    transaction = locker.transaction()
    await transaction.start()
    await locker.execute("LOCK TABLE credentials.connections IN ACCESS EXCLUSIVE MODE")
    refused = [outcome for _ in range(2) for outcome in await replica.stampede("shop-1", 30)]
    cached = await replica.ask("cached")
    waiting = len(await backends(lab, "application_name LIKE 'tokhub-token%' AND wait_event_type = 'Lock'"))
    await transaction.rollback()
    await locker.close()
    took = await usable(replica, "shop-1")
    slowest = max(outcome.took for outcome in refused)
    seen = (
        f"{counted(refused)}, slowest {slowest:.1f} s; cached {cached}; {waiting} still wait; usable after {took:.1f} s"
    )
    held = all(outcome.reason == "STORAGE_UNAVAILABLE" for outcome in refused) and slowest < 5
    expect(held and cached.fresh and waiting <= 4 and took < 5, seen)
    return seen


@case(
    "D08 slow",
    fault="a save takes longer than a statement may (trigger with pg_sleep)",
    expected="the caller has its token from the journal, others are served; saved when the database is quick again",
)
async def save_too_slow(lab: Lab) -> str:
    replica = await lab.replica()
    await lab.connect(replica, "shop-1", "shop-2")
    await lab.script(SLOW_SAVE.replace("1.5", "10"))
    await lab.expire("shop-1")
    asked, other = await replica.ask("shop-1"), await replica.ask("shop-2")
    await until("a save given up", lambda: is_told(replica, "new tokens wait for the database"))
    again = await replica.ask("shop-1")
    await lab.script("DROP TRIGGER slow ON credentials.connections")
    took, refreshes = await saved(lab, "shop-1", 2), await lab.refreshes("shop-1")
    seen = f"{asked}, other {other}, {again} meanwhile, saved {took:.1f} s later, {refreshes} refresh"
    expect(asked.fresh and other.fresh and str(again) == "FRESH 2" and refreshes == 1, seen)
    return seen


async def is_told(replica: Replica, message: str) -> bool:
    """Return whether a replica has logged this."""
    return any(event["msg"] == message for event in replica.events())


@case(
    "D09",
    fault="the network to the database becomes a black hole: no RST, no answer",
    expected="503 within 3 s (4.5 s here), cached tokens served meanwhile, sessions replaced, usable when it ends",
)
async def black_hole(lab: Lab) -> str:
    source = urlsplit(lab.dsn)
    proxy = await lab.opened.enter_async_context(proxied("127.0.0.1", source.port or 0))
    replica = await lab.replica(DATABASE_URL=lab.dsn.replace(f":{source.port}/", f":{proxy.port}/"))
    await lab.connect(replica, "shop-1", "shop-2")
    await usable(replica, "shop-1")
    proxy.black_hole()
    cached = await replica.ask("shop-1")
    refused = [outcome for _ in range(3) for outcome in await replica.stampede("shop-2", 10)]
    proxy.flow()
    took = await usable(replica, "shop-2")
    slowest = max(outcome.took for outcome in refused)
    seen = f"{counted(refused)}, slowest {slowest:.1f} s; cached {cached}; usable after {took:.1f} s"
    held = all(outcome.reason == "STORAGE_UNAVAILABLE" for outcome in refused) and slowest < 4.5
    expect(held and cached.fresh and took < 10, seen)
    return seen


@case(
    "D11",
    fault="the database takes no writes (25006)",
    expected="reads work, not ready; a refresh is refused before TikTok is called; ready when it takes writes again",
)
async def read_only(lab: Lab) -> str:
    replica = await lab.replica()
    await lab.connect(replica, "shop-1", "shop-2")
    await lab.expire("shop-2")
    before = await lab.calls()
    await set_read_only(lab, "on")
    await until("not ready", lambda: is_unready(replica))
    reads, refused = await replica.ask("shop-1"), await replica.ask("shop-2")
    calls = await lab.calls() - before
    await set_read_only(lab, "off")
    took = await usable(replica, "shop-2")
    seen = f"reads {reads}, refresh {refused}, {calls} calls to TikTok; usable {took:.1f} s after"
    expect(reads.fresh and (refused.reason, calls) == ("STORAGE_UNAVAILABLE", 0), seen)
    return seen


async def is_unready(replica: Replica) -> bool:
    """Return whether its health says that it is not to be called."""
    return not await replica.serving()


async def set_read_only(lab: Lab, value: str) -> None:
    """Let the server refuse writes, or take them again, as an administrator does."""
    await lab.sql(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await lab.sql("SELECT pg_reload_conf()")
