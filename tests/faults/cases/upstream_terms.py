"""TikTok changes the terms: fewer scopes, and lives that are short, over, endless or no number."""

import asyncio
import time
from itertools import pairwise
from typing import Any

from tokhub.token.v1 import token_pb2

from libs.clock import SystemClock
from tests.faults.case import case, expect
from tests.faults.history import Outcome
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import SELLER, reference
from tests.faults.upstream import BOTH, ask_all, called_at, connect, tally

FEWER = {"shop-1": "user.info.basic,user.info.stats", "seller-1": ["seller.authorization.info"]}
ASSUMED = 3600  # seconds, of a life that cannot be
PATIENT = 40.0  # seconds of asking for a token that never lives long
SPARED = 30.0  # seconds between two refreshes of such a token
Grants = dict[str, tuple[str, ...]]


@case(
    "U20",
    fault="a refresh returns fewer scopes than were granted, and a later one all of them",
    expected="fresh and ACTIVE; scope_reduced is said, explained and recorded, until they come back",
)
async def fewer_scopes(lab: Lab) -> str:
    replica = await lab.replica()
    await connect(lab, replica, *BOTH)
    whole = await scopes_of(lab)
    await lab.expire()
    await lab.fault("field", "shop-1", set={"/scope": FEWER["shop-1"]})
    await lab.fault("field", "seller-1", set={"/data/granted_scopes": FEWER["seller-1"]})
    less = await expect_fresh(lab, replica, 2, "ACTIVE scope_reduced")
    reduced = await scopes_of(lab)
    expect(all(set(reduced[code]) < set(whole[code]) for code in BOTH), reduced)
    for code in BOTH:
        await said(lab, replica, code, reduced[code])
    await lab.expire()
    await expect_fresh(lab, replica, 3, "ACTIVE")
    expect(await scopes_of(lab) == whole, "the scopes that came back are not stored")
    return f"{tally(less)}, scope_reduced: {sum(map(len, reduced.values()))} of {sum(map(len, whole.values()))} scopes"


async def scopes_of(lab: Lab) -> Grants:
    """Return the scopes of the rows."""
    return {code: tuple((await lab.row(code))["scopes"]) for code in BOTH}


async def expect_fresh(lab: Lab, replica: Replica, generation: int, status: str) -> list[Outcome]:
    """Expect new tokens, and rows that stand so."""
    outcomes = await ask_all(replica, BOTH)
    expect({str(one) for one in outcomes} == {f"FRESH {generation}"}, tally(outcomes))
    for code in BOTH:
        await lab.saved(code, generation)
        expect(await lab.status(code) == status, f"{code} is {await lab.status(code)}")
    return outcomes


async def said(lab: Lab, replica: Replica, code: str, scopes: tuple[str, ...]) -> None:
    """Expect that callers, people and the record are told of the reduction."""
    token = await replica.tokens.GetValidToken(token_pb2.GetValidTokenRequest(connection=reference(code)))
    expect(tuple(token.scopes) == scopes, f"{code} is handed out with {token.scopes}")
    told = await replica.connections.ExplainConnection(token_pb2.ExplainConnectionRequest(connection=reference(code)))
    expect("taken back" in told.explanation, told.explanation)
    events = await lab.sql(
        "SELECT reason FROM connection_events WHERE connection_id = $1 AND kind = 'REFRESHED'",
        (await lab.row(code))["id"],
    )
    expect([event["reason"] for event in events] == ["scope_reduced"], f"{code}: {events}")


def lives() -> dict[str, tuple[Any, int]]:
    """Return by store what TikTok says of a life, and the seconds that are to be made of it."""
    now = int(time.time())
    login = {"zero": 0, "negative": -5, "short": 1, "endless": 10**12, "epoch": now + 7200, "text": "7200"}
    shop = {"zero": 0, "negative": -5, "short": now + 20, "endless": 10**12, "relative": 7200, "text": str(now + 7200)}
    right = {"short": 20, "text": 7200}
    told = {"shop": login | {"word": "soon"}, SELLER: shop | {"word": "soon"}}
    return {
        f"{product}-{name}": (value, right.get(name, ASSUMED))
        for product, values in told.items()
        for name, value in values.items()
    }


@case(
    "U21",
    fault="lives of 0, -5, 1, 20 and 10^12 seconds, a date for a life and a life for a date, a text, a word",
    expected="a life that cannot be is one hour; one below a minute is refreshed once in thirty seconds at most",
)
async def odd_lives(lab: Lab) -> str:
    codes = lives()
    replica = await lab.replica(REFRESH_AHEAD_CONCURRENCY="4")
    await connect(lab, replica, *codes)
    codes = {code: (value, codes[code][1]) for code, (value, _) in lives().items()}
    for code, (value, _) in codes.items():
        field = "/data/access_token_expire_in" if code.startswith(SELLER) else "/expires_in"
        await lab.fault("field", code, set={field: value}, count=None)
    await lab.expire()
    outcomes = await ask_all(replica, codes)
    expect({str(one) for one in outcomes} == {"FRESH 2"}, tally(outcomes))
    for code, (value, wanted) in codes.items():
        await lab.saved(code, 2)
        row = await lab.row(code)
        life = (row["access_expires_at"] - row["received_at"]).total_seconds()
        expect(abs(life - wanted) < min(wanted, 60), f"{code}: {value} became {life:.0f} s")
    gaps = await hammered(lab, replica, [code for code in codes if code.endswith("short")])
    return f"{len(codes)} lives: {tally(outcomes)}; those of 1 and 20 s refreshed again after {gaps} s"


async def hammered(lab: Lab, replica: Replica, codes: list[str]) -> list[float]:
    """Ask for tokens that are always over; return the seconds between the refreshes of each."""
    clock = SystemClock()
    until = clock.monotonic() + PATIENT
    while clock.monotonic() < until:
        await asyncio.gather(*(replica.stampede(code, 5) for code in codes))
        await clock.sleep(0.1)
    gaps = []
    for code in codes:
        _, *called = await called_at(lab, code)
        found = [later - earlier for earlier, later in pairwise(called)]
        expect(len(found) >= 1, f"{code} was never refreshed again")
        expect(min(found) > SPARED - 1, f"{code} was refreshed again after {found} s")
        gaps.append(round(min(found), 1))
    return gaps
