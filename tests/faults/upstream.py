"""What cases of a failing TikTok share: stores of both products, patience, and a tally of what became of them."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from libs.clock import SystemClock
from tests.faults.case import expect
from tests.faults.history import Outcome
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import token_endpoint

BOTH = ("shop-1", "seller-1")
LONGEST_WAIT = 60.0  # seconds until a store has its token again, breaker and back-off included


async def connect(lab: Lab, replica: Replica, *codes: str) -> None:
    """Connect stores of either product."""
    for code in codes:
        await (lab.connect_seller if code.startswith("seller") else lab.connect)(replica, code)


async def ask_all(replica: Replica, codes: Iterable[str]) -> list[Outcome]:
    """Ask for the tokens of stores at once."""
    return list(await asyncio.gather(*(replica.ask(code) for code in codes)))


async def until_fresh(replica: Replica, code: str, within: float = LONGEST_WAIT) -> Outcome:
    """Ask as a patient caller does, who waits as long as told, until the token is fresh."""
    clock = SystemClock()
    give_up_at = clock.monotonic() + within
    while not (outcome := await replica.ask(code)).fresh:
        expect(clock.monotonic() < give_up_at, f"{code} has no fresh token after {within:.0f} s: {outcome}")
        await clock.sleep(min(max(outcome.retry_after, 0.2), 5.0))
    return outcome


async def expect_statuses(lab: Lab, wanted: str, codes: Iterable[str]) -> None:
    """Raise Missed unless every store's row has this status and reason."""
    for code in codes:
        status = await lab.status(code)
        expect(status == wanted, f"{code} is {status}, not {wanted}")


async def retry_in(lab: Lab, code: str) -> float:
    """Return the seconds until a store's next attempt, by the database's clock."""
    rows = await lab.sql(
        "SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float8 AS left FROM connections "
        "WHERE owner_id = $1",
        code,
    )
    return float(rows[0]["left"] or 0)


async def forget_pauses(lab: Lab) -> None:
    """Let the next attempts be made now."""
    await lab.sql("UPDATE connections SET next_attempt_at = NULL")


def tally(outcomes: Iterable[Outcome]) -> str:
    """Return how often each outcome came."""
    counted = Counter(str(outcome) for outcome in outcomes)
    return ", ".join(f"{number} x {name}" for name, number in sorted(counted.items()))


async def called_at(lab: Lab, code: str) -> list[float]:
    """Return when TikTok's token endpoint was called for a store, consents included, in Unix seconds."""
    told = await asyncio.to_thread(lambda: lab.sandbox.control.get("/sandbox/ledger/events", params={"limit": 20_000}))
    account, endpoint = (await lab.ledger(code))["open_id"], token_endpoint(code)
    calls = [one for one in told.json()["events"] if (one["kind"], one["what"]) == ("called", endpoint)]
    return [datetime.fromisoformat(one["at"]).timestamp() for one in calls if one["open_id"] == account]
