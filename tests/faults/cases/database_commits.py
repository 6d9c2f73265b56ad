"""Faults at the moment of a commit: cut connections, none to be had, and conflicts with other transactions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from libs.clock import SystemClock
from libs.errors import TokhubError
from tests.faults.case import case, expect
from tests.faults.cases.database_outages import counted
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.proxy import CutAtCommit, Proxy, Side, proxied
from tests.faults.waiting import until
from tests.token.event_sender import removed, send

CLAIM = b"lease_number + 1"
SAVE = b"'REFRESHED'"

POOL = 2
HOLDERS = 100
# Just below what a statement may take.
SLOW_EVENTS = """
    CREATE FUNCTION credentials.slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(1.9); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON credentials.provider_events
        FOR EACH ROW EXECUTE FUNCTION credentials.slow();
"""


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
async def exhausted(lab: Lab, replica: Replica) -> AsyncIterator[None]:
    """Keep all connections of a replica's pool busy, and many callers in line for the next, until the context ends."""
    await lab.script(SLOW_EVENTS)

    async def hold(number: int) -> None:
        # Who came together would leave the line together, after two seconds, and let the next ones through.
        await SystemClock().sleep(number * 2 / HOLDERS)
        while True:
            try:
                await send(replica.connections, removed(f"nobody {number}"))
            except TokhubError:
                turned_away.set()
            await SystemClock().sleep(0.01)

    turned_away = asyncio.Event()
    holders = [asyncio.create_task(hold(number)) for number in range(HOLDERS)]
    try:
        await turned_away.wait()
        yield
    finally:
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)
        await lab.script("DROP TRIGGER slow ON credentials.provider_events")


@case(
    "D06",
    fault=f"every connection of the pool is held by slow statements, {HOLDERS} callers wait for the next",
    expected="503 in 2 s (5 s here), cached tokens served, new tokens saved meanwhile (reserve); usable when it ends",
)
async def pool_exhausted(lab: Lab) -> str:
    replica = await lab.replica(fail="before_commit=hold", DB_POOL_SIZE=str(POOL), DB_POOL_MIN=str(POOL))
    codes = [f"shop-{number}" for number in range(5)]
    await lab.connect(replica, "cached", "refreshed", *codes)
    await replica.ask("cached")
    refreshed = await replica.ask("refreshed", rejected=1)
    await replica.reached("before_commit")
    async with exhausted(lab, replica):
        asked = await asyncio.gather(*(replica.ask(code) for code in codes))
        cached = await replica.ask("cached")
        replica.let_go("before_commit")
        took = await until("the save", lambda: is_at(lab, "refreshed", 2))
    again = await until("a token", lambda: is_served(replica, codes[0]))
    refused = [outcome for outcome in asked if outcome.reason == "STORAGE_UNAVAILABLE"]
    slowest = max(outcome.took for outcome in asked)
    seen = (
        f"{counted(asked)}, slowest {slowest:.1f} s; cached {cached}; {refreshed} saved "
        f"{took:.1f} s after it was let go; usable {again:.1f} s after"
    )
    # One may be lucky and get a connection in its two seconds.
    expect(len(refused) >= len(asked) - 1 and slowest < 5, seen)
    expect(cached.fresh and str(refreshed) == "FRESH 2" and took < 1.5, seen)
    return seen


async def is_at(lab: Lab, code: str, generation: int) -> bool:
    """Return whether a store's row has a generation."""
    return bool((await lab.row(code))["generation"] == generation)


async def is_served(replica: Replica, code: str) -> bool:
    """Return whether a store's token can be had."""
    return (await replica.ask(code)).served
