"""Faults at the moment of a commit: the connection is cut and nobody knows what was done."""

from urllib.parse import urlsplit

from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.proxy import CutAtCommit, Proxy, Side, proxied

CLAIM = b"lease_number + 1"
SAVE = b"'REFRESHED'"


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
