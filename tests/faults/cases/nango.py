"""The matrix in which another token broker lost accounts: two replicas, and six kinds of trouble.

Measured elsewhere on that product: every token spent twice with two replicas, a still-valid token refused while the
provider hiccupped, and the account lost when the process died between the rotation and the commit.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from libs.clock import SystemClock
from tests.faults.case import case, expect
from tests.faults.cases.processes import presented, until_settled
from tests.faults.history import Outcome
from tests.faults.lab import Lab
from tests.faults.processes import Replica

STORES = tuple(f"shop-{number}" for number in range(1, 6))


async def pair(lab: Lab, *, fail: str = "") -> tuple[Replica, Replica]:
    """Start two replicas, the first with fail points, and connect five stores."""
    first, second = await asyncio.gather(lab.replica("first", fail=fail), lab.replica("second"))
    await lab.connect(second, *STORES)
    return first, second


async def ask_all(*replicas: Replica) -> list[Outcome]:
    """Ask every replica for every store's token, four callers each, at once."""
    asking = [replica.stampede(code, 4) for replica in replicas for code in STORES]
    return [outcome for outcomes in await asyncio.gather(*asking) for outcome in outcomes]


def count(outcomes: Sequence[Outcome]) -> str:
    """Return how the calls ended."""
    return ", ".join(f"{number} x {said}" for said, number in Counter(map(str, outcomes)).most_common())


async def doubled(lab: Lab) -> int:
    """Return how many refreshes there were beyond one a store."""
    return sum([await lab.refreshes(code) for code in STORES]) - len(STORES)


async def answer_after(lab: Lab, milliseconds: int) -> str:
    """Let TikTok take so long, and everybody ask at once."""
    replicas = await pair(lab)
    await lab.expire()
    await lab.switch(latency_token_ms=milliseconds, latency_jitter=0)
    outcomes = await ask_all(*replicas)
    late = [await until_settled(replica, code) for replica in replicas for code in STORES]
    more = await doubled(lab)
    expect(more == 0 and {str(outcome) for outcome in late} == {"FRESH 2"}, (count(outcomes), count(late), more))
    return f"{len(outcomes)} callers: {count(outcomes)}; {more} refreshes too many"


@case(
    "Nango 0.3 s", fault="2 replicas, provider takes 0.3 s", expected="one refresh a store, all served the same token"
)
async def ordinary_provider(lab: Lab) -> str:
    return await answer_after(lab, 300)


@case(
    "Nango 11.5 s",
    fault="2 replicas, provider takes 11.5 s, longer than any lock of ten seconds",
    expected="one refresh a store, all served the same token",
)
async def slow_provider(lab: Lab) -> str:
    return await answer_after(lab, 11_500)


@case(
    "Nango journaled",
    fault="2 replicas, kill -9 of one after its answers were journaled, before a commit",
    expected="0 lost, 0 spent twice: its heir has them",
)
async def killed_after_the_journal(lab: Lab) -> str:
    first, second = await pair(lab, fail="before_commit=hold@0")
    await lab.expire()
    await asyncio.gather(*(first.ask(code) for code in STORES))
    await first.kill()
    heir = await lab.replica("heir")
    found = [await until_settled(replica, code) for code in STORES for replica in (heir, second)]
    more = await doubled(lab)
    expect(more == 0 and {str(outcome) for outcome in found} == {"FRESH 2"}, (count(found), more))
    return f"{count(found)}; {more} refreshes too many"


async def kill_under_way(lab: Lab) -> list[Outcome]:
    """Kill one replica while TikTok answers it for three of the stores; return how each store ends."""
    first, second = await pair(lab)
    await lab.expire()
    for code in STORES[:3]:
        await lab.fault("slow", code, seconds=2)
    before = await lab.calls()
    asking = [asyncio.create_task(first.ask(code)) for code in STORES[:3]]
    await presented(lab, before + 2)
    await first.kill()
    await asyncio.gather(*asking)
    await SystemClock().sleep(2)
    heir = await lab.replica("heir")
    await asyncio.gather(*(second.ask(code) for code in STORES[3:]))
    return [await until_settled(heir, code) for code in STORES]


@case(
    "Nango strict",
    fault="2 replicas, kill -9 of one while three answers are under way, strict provider",
    expected="exactly those three need their owner, each named LOST_RESPONSE, one repeat each at most; two go on",
)
async def killed_under_way(lab: Lab) -> str:
    lab.allowed.lost.update(STORES[:3])
    lab.allowed.repeats = 3
    found = await kill_under_way(lab)
    named = [str(outcome) == "REAUTH_REQUIRED lost_response" for outcome in found]
    served = [str(outcome) == "FRESH 2" for outcome in found]
    expect(named == [True] * 3 + [False] * 2 and served == [False] * 3 + [True] * 2, count(found))
    return count(found)


@case(
    "Nango grace",
    fault="the same, provider with a grace period",
    expected="none is lost",
)
async def killed_under_way_with_grace(lab: Lab) -> str:
    await lab.switch(refresh_rotation="grace", refresh_grace_seconds=120)
    found = await kill_under_way(lab)
    expect({str(outcome) for outcome in found} == {"FRESH 2"}, count(found))
    return count(found)


@case(
    "Nango 503",
    fault="2 replicas, provider answers 503, the old tokens last five more minutes",
    expected="the old tokens served to all, no status changes; refreshed once the provider is back",
)
async def provider_down(lab: Lab) -> str:
    replicas = await pair(lab)
    await lab.fault("503", count=None)
    await lab.leave("5 min")
    outcomes = [await replica.ask(code, min_ttl=600) for replica in replicas for code in STORES]
    statuses = {await lab.status(code) for code in STORES}
    expect(
        {str(one) for one in outcomes} == {"STALE_BUT_VALID 1"} and statuses == {"ACTIVE"}, (count(outcomes), statuses)
    )
    return f"{count(outcomes)}; {', '.join(statuses)}"


@case(
    "Nango database",
    fault="2 replicas, database down when new tokens are to be saved",
    expected="the new tokens are answered, and saved when the database is back: 0 lost, 0 spent twice",
)
async def database_down_at_save(lab: Lab) -> str:
    first, second = await pair(lab, fail="before_commit=hold@0")
    await lab.expire()
    outcomes = await asyncio.gather(*(first.ask(code) for code in STORES))
    await asyncio.to_thread(lab.postgres.stop)
    first.let_go("before_commit")
    await SystemClock().sleep(3)
    await asyncio.to_thread(lab.postgres.start)
    for code in STORES:
        await lab.saved(code, 2)
    found = [await until_settled(second, code) for code in STORES]
    more = await doubled(lab)
    expect(
        more == 0 and {str(one) for one in [*outcomes, *found]} == {"FRESH 2"}, (count(outcomes), count(found), more)
    )
    return f"during: {count(outcomes)}; after: {count(found)}; {more} refreshes too many"
