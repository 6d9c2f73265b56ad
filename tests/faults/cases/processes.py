"""Faults of processes: killed at every point of a refresh, paused past the lease, ended in the middle of a run."""

import asyncio

from tests.faults.case import case, expect
from tests.faults.lab import Lab


@case(
    "P01",
    fault="kill -9 after the lease, before the request is sent",
    expected="a waiter takes over when the lease ends: one call upstream, the new token",
)
async def killed_with_the_lease(lab: Lab) -> str:
    victim, other = await asyncio.gather(lab.replica("victim", fail="after_lease=kill9"), lab.replica("other"))
    await lab.connect(other, "shop-1")
    await lab.expire()
    await victim.ask("shop-1")
    waited = await other.ask("shop-1")
    while not waited.fresh:
        expect(waited.reason == "REFRESH_IN_PROGRESS", waited)
        waited = await other.ask("shop-1")
    refreshes = await lab.refreshes("shop-1")
    expect((waited.generation, refreshes) == (2, 1), f"{waited}, {refreshes} refreshes")
    return f"{waited} after {waited.took:.0f} s, {refreshes} refresh"


@case(
    "P04",
    fault="kill -9 after the journal, before the commit",
    expected="the next process restores the row; one refresh upstream",
)
async def killed_before_the_commit(lab: Lab) -> str:
    victim = await lab.replica("a", fail="before_commit=kill9")
    await lab.connect(victim, "shop-1")
    await lab.expire()
    await victim.ask("shop-1")
    await victim.ended()
    heir = await lab.replica("heir")
    found = await heir.ask("shop-1")
    refreshes = await lab.refreshes("shop-1")
    expect((str(found), refreshes) == ("FRESH 2", 1), f"{found}, {refreshes} refreshes")
    return f"{found}, {refreshes} refresh"
