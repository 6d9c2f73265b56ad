"""Faults of processes: killed at every point of a refresh, paused past the lease, ended while refreshing."""

import asyncio

from tokhub.token.v1 import token_pb2

from libs.clock import SystemClock
from libs.errors import TokhubError
from tests.faults.case import case, expect
from tests.faults.history import Outcome
from tests.faults.lab import Lab
from tests.faults.processes import Replica

SLOW = 2.0  # seconds TikTok takes in cases that kill while it answers


async def presented(lab: Lab, more_than: int) -> None:
    """Wait until TikTok has seen another token call; it has rotated by then."""
    async with asyncio.timeout(30):
        while await lab.calls() <= more_than:
            await SystemClock().sleep(0.02)


async def until_settled(replica: Replica, code: str, *, within: float = 90) -> Outcome:
    """Ask as a patient caller does, again after each error that says so, and return what it ends with."""
    async with asyncio.timeout(within):
        while (outcome := await replica.ask(code)).retry_after and not outcome.fresh:
            await SystemClock().sleep(min(outcome.retry_after, 2.0))
    return outcome


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
    found = await until_settled(other, "shop-1")
    refreshes = await lab.refreshes("shop-1")
    expect((str(found), refreshes) == ("FRESH 2", 1), f"{found}, {refreshes} refreshes")
    return f"{found} after {found.took:.0f} s, {refreshes} refresh"


@case(
    "P01 valid",
    fault="the same while the old token lasts",
    expected="the old token at once; one call upstream in the end",
)
async def killed_with_the_lease_of_a_valid_token(lab: Lab) -> str:
    victim, other = await asyncio.gather(lab.replica("victim", fail="after_lease=kill9"), lab.replica("other"))
    await lab.connect(other, "shop-1")
    await victim.ask("shop-1", rejected=1)
    await victim.ended()
    await lab.leave("5 min")
    served = await other.ask("shop-1", min_ttl=600)
    refreshes = await lab.refreshes("shop-1")
    expect((str(served), refreshes) == ("STALE_BUT_VALID 1", 0), f"{served}, {refreshes} refreshes")
    expect(served.took < 10, f"the old token came after {served.took:.1f} s")
    return f"{served} after {served.took:.1f} s"


async def kill_while_tiktok_answers(lab: Lab) -> Replica:
    """Kill the only process that knows of a rotation; return its heir."""
    victim = await lab.replica("victim")
    await lab.connect(victim, "shop-1")
    await lab.expire()
    await lab.fault("slow", "shop-1", seconds=SLOW)
    before = await lab.calls()
    asking = asyncio.create_task(victim.ask("shop-1"))
    await presented(lab, before)
    await victim.kill()
    await asking
    await SystemClock().sleep(SLOW)
    return await lab.replica("heir")


@case(
    "P02 strict",
    fault="kill -9 after TikTok rotated, before its answer came",
    expected="lost for good, and said so: REAUTH_REQUIRED lost_response, after one repeat at most",
)
async def killed_while_tiktok_answers(lab: Lab) -> str:
    lab.allowed.lost.add("shop-1")
    lab.allowed.repeats = 1
    heir = await kill_while_tiktok_answers(lab)
    found = await until_settled(heir, "shop-1")
    expect(str(found) == "REAUTH_REQUIRED lost_response", found)
    return f"{found}"


@case(
    "P02 grace",
    fault="the same with a provider that honours the old token for a while",
    expected="recovered by one repeat",
)
async def killed_while_a_kind_provider_answers(lab: Lab) -> str:
    await lab.switch(refresh_rotation="grace", refresh_grace_seconds=120)
    heir = await kill_while_tiktok_answers(lab)
    found = await until_settled(heir, "shop-1")
    expect(str(found) == "FRESH 2", found)
    return f"{found}"


@case(
    "P02 valid",
    fault="kill -9 after TikTok rotated, while the old access token lasts",
    expected="nothing to see until it ends: the old token is served, then lost_response",
)
async def killed_while_the_old_token_lasts(lab: Lab) -> str:
    lab.allowed.lost.add("shop-1")
    lab.allowed.repeats = 1
    heir = await kill_while_tiktok_answers(lab)
    await lab.leave("15 min")
    served = await heir.ask("shop-1")
    expect(served.served, served)
    await lab.expire()
    found = await until_settled(heir, "shop-1")
    expect(str(found) == "REAUTH_REQUIRED lost_response", found)
    return f"{served}, then {found}"


@case(
    "P03",
    fault="kill -9 after the answer was read, before it is on the disk",
    expected="as P02 strict: less than a millisecond of the same class",
)
async def killed_with_the_answer_in_hand(lab: Lab) -> str:
    lab.allowed.lost.add("shop-1")
    lab.allowed.repeats = 1
    victim = await lab.replica("victim", fail="answered=kill9")
    await lab.connect(victim, "shop-1")
    await lab.expire()
    await victim.ask("shop-1")
    await victim.ended()
    found = await until_settled(await lab.replica("heir"), "shop-1")
    expect(str(found) == "REAUTH_REQUIRED lost_response", found)
    return f"{found}"


async def kill_at(lab: Lab, point: str, at: int = 1) -> str:
    """Kill a process at a point behind the journal; the heir must have the token without another call."""
    victim = await lab.replica("victim", fail=f"{point}=kill9@{at}")
    await lab.connect(victim, "shop-1")
    await lab.expire()
    await victim.ask("shop-1")
    await victim.ended()
    found = await (await lab.replica("heir")).ask("shop-1")
    refreshes = await lab.refreshes("shop-1")
    expect((str(found), refreshes) == ("FRESH 2", 1), f"{found}, {refreshes} refreshes")
    return f"{found}, {refreshes} refresh"


@case(
    "P04",
    fault="kill -9 after the journal, before the commit",
    expected="the next process restores the row; one refresh upstream",
)
async def killed_before_the_commit(lab: Lab) -> str:
    return await kill_at(lab, "before_commit")


@case(
    "P04 answered",
    fault="kill -9 right after the journal, before any caller has the answer",
    expected="the same",
)
async def killed_before_the_answer(lab: Lab) -> str:
    return await kill_at(lab, "journaled", at=2)


@case(
    "P05",
    fault="kill -9 after the commit, before the reply",
    expected="who asks again gets the new token; the replay changes nothing; one refresh upstream",
)
async def killed_before_the_reply(lab: Lab) -> str:
    return await kill_at(lab, "after_commit")


@case(
    "P06",
    fault="SIGTERM during RefreshAll with 8 refreshes in flight",
    expected="the stream ends UNAVAILABLE, not serving comes first; the 8 land, no further one starts, exit 0",
)
async def told_to_end_during_refresh_all(lab: Lab) -> str:
    replica = await lab.replica(REFRESH_CONCURRENCY="8")
    codes = [f"shop-{number}" for number in range(20)]
    await lab.connect(replica, *codes)
    await lab.expire()
    await lab.switch(latency_token_ms=3000)
    before = await lab.calls()
    watching = asyncio.create_task(refresh_all(replica))
    await presented(lab, before + 7)
    stopping = asyncio.create_task(replica.stop())
    told = await watching
    status = await stopping
    rows = await lab.sql("SELECT count(*) FILTER (WHERE generation = 2) AS saved FROM connections")
    calls = await lab.calls() - before
    expect((status, rows[0]["saved"], calls, told) == (0, 8, 8, "UNAVAILABLE"), (status, rows, calls, told))
    return f"stream {told}, {calls} calls, {rows[0]['saved']} saved, exit {status}"


async def refresh_all(replica: Replica) -> str:
    """Follow RefreshAll; return the counts of its summary, or how the stream broke off."""
    summary = token_pb2.RefreshSummary()
    try:
        async for message in replica.tokens.RefreshAll(token_pb2.RefreshAllRequest()):
            summary = message.summary
    except TokhubError as error:
        return "UNAVAILABLE" if hasattr(error, "retry_after") else error.reason
    return f"{summary.refreshed} refreshed, {summary.skipped} skipped, {summary.failed} failed"


@case(
    "P07",
    fault="SIGSTOP of the holder with the answer in hand, past its lease, then SIGCONT",
    expected="its late save is taken, by generation and not by lease; one refresh, active again",
)
async def paused_past_the_lease(lab: Lab) -> str:
    lab.allowed.repeats = 1
    holder, other = await asyncio.gather(lab.replica("holder", fail="answered=stop"), lab.replica("other"))
    await lab.connect(other, "shop-1")
    await lab.expire()
    before = await lab.calls()
    asking = asyncio.create_task(holder.ask("shop-1", deadline=150))
    await presented(lab, before)
    meanwhile = await until_refused_or_suspect(lab, other)
    holder.resume()
    await asking
    found = await until_settled(other, "shop-1")
    status, refreshes = await lab.status("shop-1"), await lab.refreshes("shop-1")
    expect((str(found), status, refreshes) == ("FRESH 2", "ACTIVE", 1), (found, status, refreshes, meanwhile))
    return f"{meanwhile} while paused, then {found}, {status}, {refreshes} refresh"


async def until_refused_or_suspect(lab: Lab, other: Replica) -> str:
    """Ask until the lease has ended and the paused holder's token was tried; return what the row says then."""
    async with asyncio.timeout(120):
        while not (await lab.status("shop-1")).startswith("SUSPECT"):
            await other.ask("shop-1")
    return await lab.status("shop-1")


@case(
    "P07 valid",
    fault="the same while the old token lasts",
    expected="the old token is served and the holder waited for: no second presentation",
)
async def paused_while_the_old_token_lasts(lab: Lab) -> str:
    holder, other = await asyncio.gather(lab.replica("holder", fail="answered=stop"), lab.replica("other"))
    await lab.connect(other, "shop-1")
    before = await lab.calls()
    asking = asyncio.create_task(holder.ask("shop-1", rejected=1, deadline=150))
    await presented(lab, before)
    await lab.leave("15 min")
    await SystemClock().sleep(50)
    served = await other.ask("shop-1")
    holder.resume()
    await asking
    await lab.saved("shop-1", 2)
    found = await other.ask("shop-1")
    refreshes = await lab.refreshes("shop-1")
    expect((served.served, refreshes, found.generation) == (True, 1, 2), (served, refreshes, found))
    return f"{served} while paused, then {found}, {refreshes} refresh"
