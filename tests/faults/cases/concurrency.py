"""Faults of timing: many callers, many replicas, and people who change their minds meanwhile."""

import asyncio
import time
from collections.abc import Sequence

from tokhub.token.v1 import token_pb2

from libs.clock import SystemClock
from libs.database.pool import open_pool
from libs.errors import TokhubError
from services.token.__main__ import SCHEMA
from services.token.adapters.connections import PostgresConnections
from services.token.domain.connection import Need
from tests.faults.case import case, expect
from tests.faults.cases.processes import presented, refresh_all, until_settled
from tests.faults.history import Outcome
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.token.rpc_client import reference

ROUNDS = 1000


async def three(lab: Lab, *, fail: str = "") -> list[Replica]:
    """Start three replicas, the first with fail points, and connect a store."""
    starting = (lab.replica("a", fail=fail), lab.replica("b"), lab.replica("c"))
    replicas = list(await asyncio.gather(*starting))
    await lab.connect(replicas[-1], "shop-1")
    return replicas


async def probe(lab: Lab, until: "asyncio.Task[list[list[Outcome]]]") -> float:
    """Ask the database for nothing again and again; return the longest answer in milliseconds."""
    longest = 0.0
    async with open_pool(lab.dsn, application="probe", schema=SCHEMA) as pool:
        while not until.done():
            began = time.monotonic()
            await pool.fetchval("SELECT 1")
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.01)
    return longest * 1000


@case(
    "C01",
    fault="3 replicas, 100 callers each, one expired token, provider takes 1 s",
    expected="one refresh upstream, 300 equal answers, nobody's other query waits for it",
)
async def many_callers(lab: Lab) -> str:
    replicas = await three(lab)
    await lab.expire()
    await lab.switch(latency_token_ms=1000, latency_jitter=0)
    asking = asyncio.create_task(stampede(replicas, 100))
    longest = await probe(lab, asking)
    outcomes = [outcome for many in await asking for outcome in many]
    refreshes, tokens = await lab.refreshes("shop-1"), {outcome.token for outcome in outcomes}
    expect((refreshes, len(tokens), len(outcomes)) == (1, 1, 300), (refreshes, len(tokens), len(outcomes)))
    slowest = max(outcome.took for outcome in outcomes)
    return f"{refreshes} refresh, 300 equal answers, slowest {slowest:.2f} s, another query {longest:.0f} ms at most"


async def stampede(replicas: Sequence[Replica], callers: int) -> list[list[Outcome]]:
    """Let callers of every replica ask for the store at once."""
    return list(await asyncio.gather(*(replica.stampede("shop-1", callers) for replica in replicas)))


@case(
    "C02",
    fault="the holder of the lease is killed while 200 callers of two other replicas wait",
    expected="one waiter takes over after the lease, one refresh, all served or told to try again",
)
async def holder_killed_before_waiters(lab: Lab) -> str:
    holder, *others = await three(lab, fail="after_lease=hold")
    await lab.expire()
    first = asyncio.create_task(holder.ask("shop-1"))
    await holder.reached("after_lease")
    waiting = asyncio.create_task(stampede(others, 100))
    await asyncio.sleep(1)
    await holder.kill()
    await first
    outcomes = [outcome for many in await waiting for outcome in many]
    refreshes = await lab.refreshes("shop-1")
    said = {str(outcome) for outcome in outcomes}
    expect(refreshes == 1 and said <= {"FRESH 2", "REFRESH_IN_PROGRESS"} and "FRESH 2" in said, (refreshes, said))
    slowest = max(outcome.took for outcome in outcomes)
    return f"{sum(one.fresh for one in outcomes)} of 200 served after {slowest:.0f} s, {refreshes} refresh"


@case(
    "C03",
    fault="RefreshAll, a second RefreshAll and GetValidToken at once, 20 expired stores, 2 replicas",
    expected="the second attaches to the first and tells the same; one refresh a store",
)
async def all_at_once(lab: Lab) -> str:
    first, second = await asyncio.gather(lab.replica("a"), lab.replica("b"))
    codes = [f"shop-{number}" for number in range(20)]
    await lab.connect(first, *codes)
    await lab.expire()
    await lab.switch(latency_token_ms=300)
    runs = asyncio.gather(refresh_all(first), refresh_all(second))
    outcomes = await asyncio.gather(*(replica.ask(code) for replica in (first, second) for code in codes))
    told = await runs
    refreshes = sum([await lab.refreshes(code) for code in codes])
    expect(refreshes == 20 and len(set(told)) == 1, (refreshes, told))
    expect({str(outcome) for outcome in outcomes} == {"FRESH 2"}, {str(outcome) for outcome in outcomes})
    return f"{refreshes} refreshes; both streams: {told[0]}"


async def hold_an_answer(lab: Lab) -> tuple[Replica, Replica, "asyncio.Task[Outcome]"]:
    """Return a replica that holds TikTok's answer in its hand, another one, and the call that waits."""
    holder, other = await asyncio.gather(lab.replica("holder", fail="answered=hold"), lab.replica("other"))
    await lab.connect(other, "shop-1")
    await lab.expire()
    asking = asyncio.create_task(holder.ask("shop-1"))
    await holder.reached("answered")
    return holder, other, asking


@case(
    "C06",
    fault="disconnected while a refresh holds its answer",
    expected="the disconnect wins; the new tokens are ended at TikTok, never brought back",
)
async def disconnected_during_a_refresh(lab: Lab) -> str:
    lab.allowed.ended.add("shop-1")
    # To end a grant whose access token is over, it is refreshed first: with the token that the flight has just spent.
    lab.allowed.repeats = 1
    holder, other, asking = await hold_an_answer(lab)
    await other.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference("shop-1")))
    holder.let_go("answered")
    outcome = await asking
    async with asyncio.timeout(90):
        while any(grant["live_refresh_token"] for grant in (await lab.ledger("shop-1"))["grants"]):
            await SystemClock().sleep(0.2)
    status = await lab.status("shop-1")
    expect(status.startswith("DISCONNECTED"), status)
    return f"the caller: {outcome}; the row: {status}; living grants at TikTok: 0"


@case(
    "C07",
    fault="connected again while a refresh of the old grant holds its answer",
    expected="the new grant wins, the old answer is dropped",
)
async def connected_again_during_a_refresh(lab: Lab) -> str:
    holder, other, asking = await hold_an_answer(lab)
    before = await lab.row("shop-1")
    await lab.connect_account(other, "shop-1", lab.accounts["shop-1"])
    holder.let_go("answered")
    outcome = await asking
    found, row = await until_settled(other, "shop-1"), await lab.row("shop-1")
    expect(row["epoch"] == before["epoch"] + 1 and found.fresh, (row["epoch"], found))
    return f"the waiting caller: {outcome}; then {found} of epoch {row['epoch']}"


@case(
    "C08",
    fault="one callback 20 times at once over 3 replicas",
    expected="one exchange, one connection; the others hear STATE_REUSED",
)
async def callback_repeated(lab: Lab) -> str:
    replicas = await three(lab)
    owner = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id="shop-2")
    link = await replicas[0].connections.StartAuthorization(
        token_pb2.StartAuthorizationRequest(
            provider=token_pb2.PROVIDER_LOGIN_KIT, owner=owner, binding=token_pb2.LINK_BINDING_NONE
        )
    )
    lab.accounts["shop-2"] = account = lab.sandbox.next_account()
    came_back = await asyncio.to_thread(lab.sandbox.consent, link.authorize_url, account)
    before = await lab.calls()
    said = await asyncio.gather(*(complete(replicas[number % 3], came_back) for number in range(20)))
    exchanges = await lab.calls() - before
    expect(sorted(said) == ["CONNECTED"] + ["STATE_REUSED"] * 19 and exchanges == 1, (sorted(said), exchanges))
    return f"{exchanges} exchange, 1 connection, 19 x STATE_REUSED"


async def complete(replica: Replica, came_back: dict[str, str]) -> str:
    """Complete an authorization; return CONNECTED or the reason."""
    request = token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
    try:
        await replica.connections.CompleteAuthorization(request)
    except TokhubError as error:
        return error.reason
    return "CONNECTED"


@case(
    "C10",
    fault="two stores connect the same TikTok account at once",
    expected="one has it, the other hears ACCOUNT_ALREADY_CONNECTED without the owner's name",
)
async def one_account_for_two(lab: Lab) -> str:
    replicas = await three(lab)
    account = lab.sandbox.next_account()
    owners = ("shop-2", "shop-3")
    done = await asyncio.gather(
        *(lab.connect_account(replica, code, account) for replica, code in zip(replicas, owners, strict=False)),
        return_exceptions=True,
    )
    refused = [one for one in done if isinstance(one, TokhubError)]
    rows = await lab.sql("SELECT owner_id FROM connections WHERE owner_id = ANY ($1)", list(owners))
    lab.accounts = {"shop-1": lab.accounts["shop-1"], rows[0]["owner_id"]: account}
    expect(len(rows) == 1 and [one.reason for one in refused] == ["ACCOUNT_ALREADY_CONNECTED"], (rows, done))
    expect(rows[0]["owner_id"] not in f"{refused[0]} {refused[0].metadata}", refused[0])
    return f"1 connection, 1 x {refused[0].reason}"


@case(
    "C11",
    fault="the caller's deadline ends in the middle of a refresh",
    expected="DEADLINE_EXCEEDED; the refresh lands all the same",
)
async def deadline_ends(lab: Lab) -> str:
    replica = await lab.replica()
    await lab.connect(replica, "shop-1")
    await lab.expire()
    await lab.switch(latency_token_ms=2000, latency_jitter=0)
    outcome = await replica.ask("shop-1", deadline=0.5)
    await lab.saved("shop-1", 2)
    refreshes = await lab.refreshes("shop-1")
    expect((outcome.reason, refreshes) == ("DEADLINE_EXCEEDED", 1), (outcome, refreshes))
    return f"{outcome} after {outcome.took:.1f} s, then generation 2 with {refreshes} refresh"


@case(
    "C12",
    fault="60 tokens due at once, 2 replicas refresh ahead, one is killed in the middle",
    expected="at most 4 in flight a replica, so 4 lost at most, each named; the rest refreshed once",
)
async def mass_expiry(lab: Lab) -> str:
    codes = [f"shop-{number}" for number in range(60)]
    setup = await lab.replica("setup")
    await lab.connect(setup, *codes)
    await setup.stop()
    lab.allowed.lost.update(codes)
    lab.allowed.repeats = 4
    await lab.leave("25 min")
    await lab.switch(latency_token_ms=1000, latency_jitter=0)
    before = await lab.calls()
    ahead = [lab.replica(name, REFRESH_AHEAD_CONCURRENCY="4") for name in ("a", "b")]
    victim, other = await asyncio.gather(*ahead)
    await presented(lab, before + 20)
    await victim.kill()
    heir = await lab.replica("heir")
    await asyncio.gather(*(until_settled(other, code) for code in codes))
    await lab.expire(*[code for code in codes if (await lab.row(code))["generation"] == 1])
    found = [await until_settled(heir, code) for code in codes]
    named = [outcome for outcome in found if str(outcome) == "REAUTH_REQUIRED lost_response"]
    expect(len(named) <= 4 and all(one.served for one in found if one not in named), [str(one) for one in found])
    return f"{len(named)} named lost_response, {len(found) - len(named)} served"


@case(
    "C13",
    fault="an invalid_grant that belongs to an old token arrives after a success",
    expected="ignored: the row has moved on; never REAUTH_REQUIRED",
)
async def late_refusal(lab: Lab) -> str:
    lab.allowed.repeats = 1
    late, other = await asyncio.gather(lab.replica("late", fail="before_send=hold"), lab.replica("other"))
    await lab.connect(other, "shop-1")
    await lab.expire()
    asking = asyncio.create_task(late.ask("shop-1", deadline=150))
    await late.reached("before_send")
    found = await until_settled(other, "shop-1", within=150)
    late.let_go("before_send")
    outcome = await asking
    status = await lab.status("shop-1")
    expect((str(found), status) == ("FRESH 2", "ACTIVE"), (found, outcome, status))
    return f"{found}; the late one: {outcome}; {status}"


@case(
    "C16",
    fault=f"two replicas claim a lease right when it ends, {ROUNDS} rounds",
    expected="one winner each round",
)
async def lease_at_its_end(lab: Lab) -> str:
    replica = await lab.replica()
    await lab.connect(replica, "shop-1")
    identity = (await lab.row("shop-1"))["id"]
    await replica.stop()
    winners = []
    async with open_pool(lab.dsn, application="one", schema=SCHEMA) as one:
        ports = [PostgresConnections(pool=one, replica=name) for name in ("one", "two")]
        for _ in range(ROUNDS):
            await one.execute(
                "UPDATE connections SET intent_generation = NULL, access_expires_at = clock_timestamp(), "
                "lease_owner = 'gone', lease_until = clock_timestamp() + interval '2 ms'"
            )
            need = Need(min_ttl=0)
            wins = 0
            while not wins:
                claims = await asyncio.gather(*(port.claim(identity, need, lease=45) for port in ports))
                wins += sum(claim is not None for claim in claims)
            winners.append(wins)
    await lab.replica("after")
    expect(set(winners) == {1}, f"{sum(count > 1 for count in winners)} rounds with two winners")
    return f"{len(winners)} rounds, one winner each"
