"""Faults of time: replicas whose clocks are wrong, and connect links of another moment."""

import asyncio
from datetime import timedelta
from itertools import product

from tokhub.token.v1 import token_pb2

from libs.database.pool import open_pool
from libs.secret import Secret
from services.token.__main__ import SCHEMA
from services.token.adapters.links import PostgresLinks
from services.token.core.state import SKEW, States
from services.token.domain.connection import ByOwner, Owner, OwnerKind, Provider
from tests.faults.case import case, expect
from tests.faults.cases.concurrency import stampede
from tests.faults.cases.database_limits import reason_of
from tests.faults.cases.processes import until_settled
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import start_of
from tests.token.event_sender import login_header, removed, send

AHEAD, BEHIND = {"CLOCK_OFFSET": "600"}, {"CLOCK_OFFSET": "-600"}
STATE_LIFE = timedelta(minutes=10)
SECONDS_LEFT = "extract(epoch FROM {column} - clock_timestamp())::float8"


async def seconds_left(lab: Lab, code: str, column: str) -> float:
    """Return the seconds until a time in a store's row, by the database's clock."""
    rows = await lab.sql(f"SELECT {SECONDS_LEFT.format(column=column)} AS s FROM connections WHERE owner_id = $1", code)
    return float(rows[0]["s"])


@case(
    "D10",
    fault="the clocks of replicas are 10 minutes ahead and behind: 3 x 100 callers of one expired token",
    expected="one refresh, 300 equal answers, the lease as long as ever, no other store's status touched",
)
async def clocks_apart(lab: Lab) -> str:
    ahead, behind, right = await asyncio.gather(
        lab.replica("ahead", fail="after_lease=hold", **AHEAD), lab.replica("behind", **BEHIND), lab.replica("right")
    )
    await lab.connect(right, "shop-1", "shop-2")
    await lab.expire("shop-1")
    first = asyncio.create_task(ahead.ask("shop-1"))
    await ahead.reached("after_lease")
    lease = await seconds_left(lab, "shop-1", "lease_until")
    asking = asyncio.create_task(stampede([ahead, behind, right], 100))
    ahead.let_go("after_lease")
    outcomes = [await first, *(outcome for many in await asking for outcome in many)]
    refreshes, tokens = await lab.refreshes("shop-1"), {outcome.token for outcome in outcomes}
    left = [await seconds_left(lab, code, "access_expires_at") for code in ("shop-1", "shop-2")]
    statuses = {await lab.status(code) for code in ("shop-1", "shop-2")}
    seen = f"{refreshes} refresh, {len(outcomes)} answers, {len(tokens)} token; lease {lease:.0f} s; lives {left}"
    expect(
        (refreshes, len(tokens), statuses) == (1, 1, {"ACTIVE"}) and all(outcome.fresh for outcome in outcomes), seen
    )
    expect(30 < lease <= 45 and abs(left[0] - left[1]) < 60, seen)
    return f"{refreshes} refresh, {len(outcomes)} equal answers, lease {lease:.0f} s by the database's clock"


@case(
    "D10 links",
    fault="links are issued by replicas whose clocks are 10 minutes apart, and come back to another",
    expected="every replica takes the links of every other: their times are the database's",
)
async def links_across_clocks(lab: Lab) -> str:
    replicas = await asyncio.gather(
        lab.replica("ahead", **AHEAD), lab.replica("behind", **BEHIND), lab.replica("right")
    )
    for issuer, taker in product(replicas, replicas):
        code = f"{issuer.name}-{taker.name}"
        link = await issuer.connections.StartAuthorization(start_of(code))
        account = lab.accounts[code] = lab.sandbox.next_account()
        came_back = await asyncio.to_thread(lab.sandbox.consent, link.authorize_url, account)
        refused = await completed(taker, came_back["state"], came_back["code"])
        expect(not refused, f"{taker.name} refuses a link of {issuer.name}: {refused}")
    statuses = [await lab.status(code) for code in lab.accounts]
    expect(statuses == ["ACTIVE"] * 9, statuses)
    return f"{len(statuses)} links, each pair of replicas both ways, all connected"


async def completed(replica: Replica, state: str, code: str = "") -> str:
    """Let a link come back; return the reason why it is refused."""
    request = token_pb2.CompleteAuthorizationRequest(state=state, code=code)
    return await reason_of(replica.connections.CompleteAuthorization(request))


@case(
    "D10 journal",
    fault="a replica whose clock is 10 minutes ahead dies after the journal, one that is behind takes over",
    expected="the token that is restored ends when TikTok said, not 10 minutes early or late",
)
async def restored_across_clocks(lab: Lab) -> str:
    victim = await lab.replica("victim", fail="before_commit=kill9", **AHEAD)
    await lab.connect(victim, "shop-1")
    life = await seconds_left(lab, "shop-1", "access_expires_at")
    await lab.expire()
    await victim.ask("shop-1")
    await victim.ended()
    found = await until_settled(await lab.replica("heir", **BEHIND), "shop-1")
    left, refreshes = await seconds_left(lab, "shop-1", "access_expires_at"), await lab.refreshes("shop-1")
    seen = f"{found}, {refreshes} refresh, {left:.0f} s left of {life:.0f} s"
    expect((str(found), refreshes) == ("FRESH 2", 1) and life - 90 < left <= life + 1, seen)
    return seen


@case(
    "D10 webhooks",
    fault="TikTok tells replicas whose clocks are 10 minutes apart that accounts removed the app",
    expected="every replica believes it at once; a signature of ten minutes ago is refused by each",
)
async def webhooks_across_clocks(lab: Lab) -> str:
    replicas = await asyncio.gather(lab.replica("ahead", **AHEAD), lab.replica("behind", **BEHIND))
    for replica in replicas:
        lab.allowed.ended.add(replica.name)
        await lab.connect(replica, replica.name)
        body = removed((await lab.row(replica.name))["account_id"])
        late = await reason_of(send(replica.connections, body, login_header(body, age=600)))
        await send(replica.connections, body)
        status = await lab.status(replica.name)
        expect((late, status) == ("UNAUTHENTICATED", "DISCONNECTED removed_by_user"), (replica.name, late, status))
    return f"{len(replicas)} replicas: at once {status}, ten minutes late {late}"


@case(
    "S15",
    fault="connect links that ended, and links of the future, at replicas whose clocks are wrong",
    expected="STATE_EXPIRED and STATE_INVALID beyond a minute, whatever the replica's own clock says; nothing is spent",
)
async def links_of_another_time(lab: Lab) -> str:
    replicas = await asyncio.gather(
        lab.replica("ahead", **AHEAD), lab.replica("behind", **BEHIND), lab.replica("right")
    )
    second = timedelta(seconds=30)
    wanted = {
        -(STATE_LIFE + SKEW + second): "STATE_EXPIRED",
        -(STATE_LIFE + SKEW - second): "AUTHORIZATION_DENIED",
        SKEW - second: "AUTHORIZATION_DENIED",
        SKEW + second: "STATE_INVALID",
    }
    for replica, (moved, reason) in product(replicas, wanted.items()):
        told = await completed(replica, await state_issued(lab, moved))
        expect(told == reason, f"{replica.name}, a link issued {moved.total_seconds():+.0f} s from now: {told}")
    spent = await lab.sql("SELECT FROM authorization_links WHERE spent_at IS NOT NULL")
    expect(len(spent) == 2 * len(replicas), f"{len(spent)} links spent")
    said = ", ".join(f"{moved.total_seconds():+.0f} s {reason}" for moved, reason in wanted.items())
    return f"{len(wanted) * len(replicas)} links: {said}"


async def state_issued(lab: Lab, moved: timedelta) -> str:
    """Return the state of a link that was issued so long from now, signed as the service signs; it brings no code."""
    states = States(secrets=[Secret("s" * 64)], redirect_uri=lab.sandbox.redirect_uri, lifetime=STATE_LIFE)
    target = ByOwner(provider=Provider.LOGIN_KIT, owner=Owner(kind=OwnerKind.STORE, id="shop-1"))
    async with open_pool(lab.dsn, application="links", schema=SCHEMA) as pool:
        links = PostgresLinks(pool)
        link = states.new(target, 1, "", await links.now() + moved)
        await links.issue(link)
    return states.write(link)
