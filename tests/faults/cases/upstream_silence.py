"""TikTok cannot be reached, falls silent, or is cut off in the middle of an answer."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tokhub.token.v1 import token_pb2

from libs.errors import TokhubError
from tests.faults.case import case, expect
from tests.faults.history import Outcome
from tests.faults.lab import Lab, free_port
from tests.faults.processes import Replica
from tests.faults.products import start_of
from tests.faults.upstream import BOTH, ask_all, called_at, connect, expect_statuses, forget_pauses, tally, until_fresh

LOST = "REAUTH_REQUIRED lost_response"
GRACE = {"refresh_rotation": "grace", "shop_refresh_rotation": "grace"}
OFFSETS = range(0, 340, 9)  # bytes; the answers of both products are longer


@contextmanager
def black_hole() -> Iterator[int]:
    """Yield a port at which a connection is neither accepted nor refused: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


async def replica_towards(lab: Lab, name: str, address: str) -> Replica:
    """Start a token service that looks for TikTok at another address."""
    return await lab.replica(name, TIKTOK_API_BASE_URL=address, TIKTOK_SHOP_TOKEN_BASE_URL=address)


async def exchange_fails(lab: Lab, replica: Replica) -> str:
    """Let a consent come back to a replica that cannot reach TikTok; return the reason it gives."""
    link = await replica.connections.StartAuthorization(start_of("shop-9"))
    came_back = await asyncio.to_thread(lab.sandbox.consent, link.authorize_url, lab.sandbox.next_account())
    request = token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
    try:
        await replica.connections.CompleteAuthorization(request)
    except TokhubError as error:
        return str(error.reason)
    return "connected"


@case(
    "U01",
    fault="TikTok's port is closed, its connect hangs, its host name is unknown; refresh and code exchange",
    expected="the old token while it works, then 503; nothing is sent and no status changes; all recover by themselves",
)
async def unreachable(lab: Lab) -> str:
    good = await lab.replica("good")
    await connect(lab, good, *BOTH)
    said = []
    with black_hole() as silent:
        addresses = {
            "refused": f"http://127.0.0.1:{free_port()}",
            "hanging": f"http://127.0.0.1:{silent}",
            "unknown": "https://tiktok.invalid",
        }
        for name, address in addresses.items():
            said.append(f"{name}: {await lost_way(lab, await replica_towards(lab, name, address))}")
    for code in BOTH:
        expect((await until_fresh(good, code)).generation == 2, f"{code} did not recover in one refresh")
    refreshes = [await lab.refreshes(code) for code in BOTH]
    expect(refreshes == [1, 1], f"{refreshes} refreshes")
    return f"{'; '.join(said)}; then fresh with one refresh each"


async def lost_way(lab: Lab, replica: Replica) -> str:
    """Ask a replica that cannot reach TikTok, with tokens that still work and with expired ones."""
    calls = await lab.calls() + await lab.calls("shop_token")
    await lab.leave("40 s")
    stale = await ask_all(replica, BOTH)
    expect(all(one.served and not one.fresh for one in stale), tally(stale))
    await lab.expire()
    await forget_pauses(lab)
    gone = await ask_all(replica, BOTH)
    expect({one.reason for one in gone} == {"UPSTREAM_UNAVAILABLE"}, tally(gone))
    exchange = await exchange_fails(lab, replica)
    expect(exchange == "UPSTREAM_UNAVAILABLE", f"code exchange: {exchange}")
    await expect_statuses(lab, "ACTIVE", BOTH)
    await forget_pauses(lab)
    sent = await lab.calls() + await lab.calls("shop_token") - calls
    expect(sent == 0, f"{sent} calls arrived")
    await replica.stop()
    return f"stale, then {gone[0].reason} after {max(one.took for one in gone):.0f} s"


async def silent(lab: Lab, kind: str, **more: Any) -> tuple[Replica, list[Outcome]]:
    """Let the first refresh of a store of each product be carried out and its answer not come in time."""
    replica = await lab.replica()
    await connect(lab, replica, *BOTH)
    await lab.leave("50 s")
    for code in BOTH:
        await lab.fault(kind, code, **more)
    lab.allowed.repeats = len(BOTH)
    return replica, await ask_all(replica, BOTH)


async def lost_and_named(lab: Lab, kind: str, **more: Any) -> str:
    """Expect that a strict TikTok costs the connections, after one retry each, and that each is named."""
    lab.allowed.lost = set(BOTH)
    replica, outcomes = await silent(lab, kind, **more)
    expect(all(one.served and not one.fresh for one in outcomes), tally(outcomes))
    await expect_statuses(lab, LOST, BOTH)
    await lab.expire()
    later = await ask_all(replica, BOTH)
    expect({str(one) for one in later} == {"REAUTH_REQUIRED lost_response"}, tally(later))
    return f"stale after {longest(outcomes):.0f} s, one retry each; once expired {later[0]}"


async def recovered(lab: Lab, kind: str, **more: Any) -> str:
    """Expect that a TikTok with a grace period costs nothing but the one retry."""
    await lab.switch(**GRACE)
    _, outcomes = await silent(lab, kind, **more)
    expect({str(one) for one in outcomes} == {"FRESH 2"}, tally(outcomes))
    return f"FRESH 2 after {longest(outcomes):.0f} s by one retry each"


def longest(outcomes: list[Outcome]) -> float:
    """Return the seconds of the slowest."""
    took = max(one.took for one in outcomes)
    expect(took < 45, f"a refresh took {took:.0f} s, longer than its lease")
    return took


@case(
    "U02 strict",
    fault="a refresh is carried out and its answer comes too late; the old token is dead",
    expected="one retry inside the lease, then REAUTH_REQUIRED, named lost_response; the old access token to its end",
)
async def too_late_strict(lab: Lab) -> str:
    return await lost_and_named(lab, "latency", seconds=600)


@case(
    "U02 grace",
    fault="the same, and the old token works a little longer",
    expected="one retry inside the lease brings the new tokens",
)
async def too_late_grace(lab: Lab) -> str:
    return await recovered(lab, "latency", seconds=600)


@case(
    "U02 twice",
    fault="a refresh is carried out, and its answer and the one to its repeat are lost; the old token is dead",
    expected="SUSPECT; one presentation more finds out: REAUTH_REQUIRED, named lost_response, and no more calls",
)
async def lost_twice(lab: Lab) -> str:
    replica = await lab.replica()
    await connect(lab, replica, *BOTH)
    await lab.expire()
    for code in BOTH:
        await lab.fault("answer_lost", code, count=2)
    lab.allowed.lost, lab.allowed.findings = set(BOTH), len(BOTH)
    in_doubt = await ask_all(replica, BOTH)
    expect({one.reason for one in in_doubt} == {"UPSTREAM_UNAVAILABLE"}, tally(in_doubt))
    await expect_statuses(lab, "SUSPECT lost_response", BOTH)
    await forget_pauses(lab)
    found = [one for _ in range(5) for one in await ask_all(replica, BOTH)]
    expect({str(one) for one in found} == {LOST}, tally(found))
    calls = [len(await called_at(lab, code)) - 1 for code in BOTH]
    expect(calls == [3, 3], f"{calls} presentations")
    return f"{tally(in_doubt)}; then {tally(found)}; {calls} presentations"


@case(
    "U02 silence",
    fault="no connection lives long enough for an answer, turn after turn, before TikTok has done anything",
    expected="two presentations in the first turn and one in each that follows; active again with its own token",
)
async def turn_after_turn(lab: Lab) -> str:
    replica = await lab.replica()
    await connect(lab, replica, *BOTH)
    await lab.expire()
    for code in BOTH:
        await lab.fault("reset", code, count=4)
    seen = []
    for _ in range(3):
        outcomes = await ask_all(replica, BOTH)
        expect({one.reason for one in outcomes} == {"UPSTREAM_UNAVAILABLE"}, tally(outcomes))
        seen.append([len(await called_at(lab, code)) - 1 for code in BOTH])
        await forget_pauses(lab)
    expect(seen == [[2, 2], [3, 3], [4, 4]], f"{seen} presentations")
    fresh = await ask_all(replica, BOTH)
    expect({str(one) for one in fresh} == {"FRESH 2"}, tally(fresh))
    return f"{seen} presentations, then {tally(fresh)}"


@case(
    "U17 strict",
    fault="an answer that drips, a byte a second",
    expected="the deadline of the whole call ends it; then as U02 strict",
)
async def dripping_strict(lab: Lab) -> str:
    return await lost_and_named(lab, "drip", part="body")


@case(
    "U17 grace",
    fault="headers that drip, a byte a second, and the old token works a little longer",
    expected="the deadline of the whole call ends it; then as U02 grace",
)
async def dripping_grace(lab: Lab) -> str:
    return await recovered(lab, "drip", part="headers")


async def cut_everywhere(lab: Lab, replica: Replica, offsets: range, product: str) -> list[str]:
    """Cut answers at each offset in each way; return the stores."""
    ways: list[dict[str, Any]] = [
        {"announced": "whole", "end": "close"},
        {"announced": "sent", "end": "close"},
        {"announced": "whole", "end": "reset"},
    ]
    codes = [f"{product}-{offset}-{number}" for offset in offsets for number in range(len(ways))]
    await connect(lab, replica, *codes)
    for code in codes:
        _, offset, number = code.split("-")
        await lab.fault("truncated", code, at_byte=int(offset), **ways[int(number)])
    lab.allowed.repeats += len(codes)
    return codes


@case(
    "U07 grace",
    fault="answers cut at every ninth byte, under the whole length and a wrong one, closed and reset",
    expected="whether it was carried out is unknown: the one retry brings the new tokens of every store",
)
async def cut_grace(lab: Lab) -> str:
    await lab.switch(**GRACE)
    replica = await lab.replica()
    codes = [code for product in ("shop", "seller") for code in await cut_everywhere(lab, replica, OFFSETS, product)]
    await lab.expire()
    outcomes = await ask_all(replica, codes)
    expect({str(one) for one in outcomes} == {"FRESH 2"}, tally(outcomes))
    return f"{len(codes)} cut answers: {tally(outcomes)}"


@case(
    "U07 strict",
    fault="the same at fewer places, and the old token is dead",
    expected="one retry each, then REAUTH_REQUIRED by name of lost_response, no store silently",
)
async def cut_strict(lab: Lab) -> str:
    replica = await lab.replica()
    places = range(1, 340, 112)
    codes = [code for product in ("shop", "seller") for code in await cut_everywhere(lab, replica, places, product)]
    lab.allowed.lost = set(codes)
    await lab.expire()
    outcomes = await ask_all(replica, codes)
    await expect_statuses(lab, LOST, codes)
    return f"{len(codes)} cut answers: {tally(outcomes)}"


@case(
    "U07 before",
    fault="the connection is reset twice before TikTok has done anything",
    expected="SUSPECT, named lost_response, at most two calls; active again with its own token",
)
async def reset_before(lab: Lab) -> str:
    replica = await lab.replica()
    await connect(lab, replica, *BOTH)
    await lab.expire()
    for code in BOTH:
        await lab.fault("reset", code, count=2)
    outcomes = await ask_all(replica, BOTH)
    expect({one.reason for one in outcomes} == {"UPSTREAM_UNAVAILABLE"}, tally(outcomes))
    await expect_statuses(lab, "SUSPECT lost_response", BOTH)
    for code in BOTH:
        await until_fresh(replica, code)
    await expect_statuses(lab, "ACTIVE", BOTH)
    return f"{tally(outcomes)}, SUSPECT; then fresh and ACTIVE"
