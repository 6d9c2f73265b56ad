"""Faults of those who ask too often or guess: by forged addresses, by many gateways, before and after a crash."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Network

from libs.settings import EX_CONFIG
from tests.faults.case import case, expect
from tests.faults.cases.starting import refused_start
from tests.faults.gateway_processes import SHIPPED_LIMITS, GatewayReplica
from tests.faults.gateways import Ask, suite, tally
from tests.faults.lab import Lab
from tests.faults.servers import crash
from tests.faults.waiting import until

STORES, LINK = "/admin/stores", "/auth/url?store_code=nobody"
# Routes of every kind of gate.
ELSEWHERE = (
    STORES,
    "/admin/sync/runs",
    "/admin/audit",
    "/api/v1/tiktok/auth/status",
    "/api/v1/integrations/tiktok/status/creator_1",
)
WRONG = {"X-API-KEY": "x" * 48}
PROXY, OTHERS = "127.0.0.9", "127.0.0.50"
FAILED, BLOCKED, SPENT = "401 UNAUTHORIZED", "429 LOCKED_OUT", "429 RATE_LIMIT_EXCEEDED"
ADMIN_LIMIT, OAUTH_LIMIT, FAILURES = 100, 10, 5
FORGED = 1_000
GUESSES = 200
NOT_TRUSTED = ("*", "0.0.0.0/0", "::/0")
COUNTED = "SELECT coalesce(sum(requests), 0)::int AS counted FROM gateway.spent WHERE address = $1"


def forged() -> dict[str, str]:
    """Return headers by which somebody claims to speak for another."""
    one, two = (str(IPv4Address(random.getrandbits(32))) for _ in range(2))
    return {
        "X-Forwarded-For": f"{one}, {two}",
        "Forwarded": f"for={one};proto=https, for={two}",
        "X-Real-IP": one,
        "X-Client-IP": two,
        "True-Client-IP": one,
    }


def right(gateway: GatewayReplica) -> dict[str, str]:
    """Return the header of the operators."""
    return {"X-API-KEY": gateway.key}


@case(
    "S03",
    fault=f"{FORGED} requests, each under other forged addresses; gateways told to trust everybody",
    expected=f"{ADMIN_LIMIT} pass, the rest are refused, wrong keys are counted for the peer; no start with such trust",
)
async def addresses_are_forged(lab: Lab) -> str:
    (gateway,) = await suite(lab, "gateway", gateways=SHIPPED_LIMITS)
    mine = gateway.visitor()
    asked = await tally([mine], Ask(STORES, right(gateway)), [forged() for _ in range(FORGED)])
    expect(asked == {"200": ADMIN_LIMIT, SPENT: FORGED - ADMIN_LIMIT}, asked)
    links = await tally([mine], Ask(LINK), [forged() for _ in range(GUESSES)])
    expect(links == {"404 STORE_NOT_FOUND": OAUTH_LIMIT, SPENT: GUESSES - OAUTH_LIMIT}, links)
    guesses = await tally([gateway.visitor("127.0.0.2")], Ask(STORES, WRONG), [forged() for _ in range(GUESSES)])
    expect(guesses == {FAILED: FAILURES, BLOCKED: GUESSES - FAILURES}, guesses)
    lines = [await refused_proxies(lab, number, value) for number, value in enumerate(NOT_TRUSTED)]
    seen = f"{summed(asked)}; links {summed(links)}; guesses {summed(guesses)}"
    return f"{seen}; {len(lines)} x exit {EX_CONFIG}: {lines[0]}"


async def refused_proxies(lab: Lab, number: int, value: str) -> str:
    """Start a gateway that trusts everybody; return what it said."""
    status, said = await refused_start(lab.prepared_gateway(f"trusting-{number}", TRUSTED_PROXIES=value))
    expect((status, len(said)) == (EX_CONFIG, 1) and "TRUSTED_PROXIES" in said[0], (status, said))
    return said[0]


@case(
    "S04",
    fault=f"{GUESSES} wrong keys at once over three gateways; then from elsewhere, by other routes, with the right key",
    expected=f"exactly {FAILURES} hear 401, all others and the right key 429, by every route and gateway; others pass",
)
async def guesses_at_once(lab: Lab) -> str:
    gateways = await suite(lab, "first", "second", "third", gateways=SHIPPED_LIMITS)
    guessers = [one.visitor() for one in gateways]
    guesses = await tally(guessers, Ask(STORES, WRONG), [{}] * GUESSES)
    expect(guesses == {FAILED: FAILURES, BLOCKED: GUESSES - FAILURES}, guesses)
    later: Counter[str] = Counter()
    for path in ELSEWHERE:
        for headers in (right(gateways[0]), {"Authorization": "Bearer nothing"}):
            later += await tally(guessers, Ask(path, headers), [{}] * len(gateways))
    expect(set(later) == {BLOCKED}, later)
    others = await tally([one.visitor(OTHERS) for one in gateways], Ask(STORES, right(gateways[0])), [{}] * 6)
    expect(others == {"200": 6}, others)
    patient = [await guess_with_pauses(gateways, "127.0.0.3"), await guess_by_routes(gateways, "127.0.0.4")]
    return f"{summed(guesses)}; then {summed(later)}; another address {summed(others)}; {'; '.join(patient)}"


async def guess_with_pauses(gateways: Sequence[GatewayReplica], address: str) -> str:
    """Guess with the right key in between, which shall forgive nothing; return what was answered."""
    keys = [WRONG] * (FAILURES - 1) + [right(gateways[0]), WRONG, right(gateways[0])]
    clients = [one.visitor(address) for one in gateways]
    answers = [await Ask(STORES).of(clients[number % 3], key) for number, key in enumerate(keys)]
    expect(answers == [FAILED] * (FAILURES - 1) + ["200", FAILED, BLOCKED], answers)
    return "a right key in between forgave nothing"


async def guess_by_routes(gateways: Sequence[GatewayReplica], address: str) -> str:
    """Guess by another route at another gateway each time; return what was answered."""
    clients = [one.visitor(address) for one in gateways]
    paths = [*ELSEWHERE, STORES]
    answers = [
        await Ask(path, {"Authorization": "Bearer a.b.c"} if "/api/v1/tiktok" in path else WRONG).of(
            clients[number % 3], {}
        )
        for number, path in enumerate(paths)
    ]
    expect(answers == [FAILED] * FAILURES + [BLOCKED], answers)
    return f"{len(ELSEWHERE)} routes have one count"


@case(
    "S04 addresses",
    fault="guesses behind a trusted proxy: from all over one /64, by an IPv4 address in all its spellings",
    expected=f"{FAILURES} hear 401 for each subscriber, however the address is written; neighbours are not blocked",
)
async def addresses_rotate(lab: Lab) -> str:
    gateways = await suite(
        lab, "first", "second", "third", gateways={**SHIPPED_LIMITS, "TRUSTED_PROXIES": f"{PROXY}/32"}
    )
    proxies = [one.visitor(PROXY) for one in gateways]
    network = IPv6Network("2001:db8:1:2::/64")
    hosts = [behind(str(network[random.getrandbits(64)])) for _ in range(GUESSES)]
    by_network = await tally(proxies, Ask(STORES, WRONG), hosts)
    expect(by_network == {FAILED: FAILURES, BLOCKED: GUESSES - FAILURES}, by_network)
    spellings = [behind(one) for one in spelled("203.0.113.5")] * 10
    by_spelling = await tally(proxies, Ask(STORES, WRONG), spellings)
    expect(by_spelling == {FAILED: FAILURES, BLOCKED: len(spellings) - FAILURES}, by_spelling)
    neighbours = [behind("2001:db8:1:3::1"), behind("203.0.113.6"), behind("203.0.113.5, 198.51.100.7")]
    free = await tally(proxies, Ask(STORES, right(gateways[0])), neighbours)
    expect(free == {"200": len(neighbours)}, free)
    return f"one /64: {summed(by_network)}; IPv4 spelled: {summed(by_spelling)}; neighbours: {summed(free)}"


def behind(client: str) -> dict[str, str]:
    """Return what a proxy says of whom it speaks for."""
    return {"X-Forwarded-For": client}


def spelled(address: str) -> Sequence[str]:
    """Return the ways in which proxies write an IPv4 address."""
    return (address, f"::ffff:{address}", f"::FFFF:{address}", f"{address}:4711", f"[::ffff:{address}]:4711")


@case(
    "S04 limits",
    fault="more requests than the limits allow, over three gateways at once",
    expected=f"exactly {ADMIN_LIMIT} of operators and {OAUTH_LIMIT} of OAuth pass; the rest are told when to come back",
)
async def limits_are_exact(lab: Lab) -> str:
    gateways = await suite(lab, "first", "second", "third", gateways=SHIPPED_LIMITS)
    clients = [one.visitor() for one in gateways]
    asked = await tally(clients, Ask(STORES, right(gateways[0])), [{}] * 3 * ADMIN_LIMIT)
    expect(asked == {"200": ADMIN_LIMIT, SPENT: 2 * ADMIN_LIMIT}, asked)
    links = await tally(clients, Ask(LINK), [{}] * 3 * OAUTH_LIMIT)
    expect(links == {"404 STORE_NOT_FOUND": OAUTH_LIMIT, SPENT: 2 * OAUTH_LIMIT}, links)
    late = await clients[2].get(STORES, headers=right(gateways[0]))
    wait = int(late.headers["Retry-After"])
    expect(late.status_code == 429 and 1 <= wait <= 60, (late.status_code, wait))
    return f"operators: {summed(asked)}; OAuth: {summed(links)}; Retry-After {wait}"


@case(
    "D16",
    fault="the database crashes, which forgets the table of limits; an address is blocked, another has spent most",
    expected="the block stands, at gateways that never saw it too; limits begin anew, once for all gateways",
)
async def limits_are_forgotten(lab: Lab) -> str:
    gateways = await suite(lab, "first", "second", gateways=SHIPPED_LIMITS)
    spender, guesser = ([one.visitor(address) for one in gateways] for address in ("127.0.0.1", "127.0.0.2"))
    before = await tally(spender, Ask(STORES, right(gateways[0])), [{}] * (ADMIN_LIMIT - 20))
    guesses = await tally(guesser, Ask(STORES, WRONG), [{}] * FAILURES)
    expect((before, guesses) == ({"200": ADMIN_LIMIT - 20}, {FAILED: FAILURES}), (before, guesses))
    await crash(lab.postgres)
    await asyncio.to_thread(lab.postgres.start)
    forgotten = ADMIN_LIMIT - 20 - (await lab.sql(COUNTED, "127.0.0.1"))[0]["counted"]
    expect(forgotten == ADMIN_LIMIT - 20, f"{forgotten} forgotten")
    third = await lab.gateway("third", **SHIPPED_LIMITS)
    everywhere = [*gateways, third]
    for one in everywhere:
        await until_shared(lab, one)
    blocked = await tally([one.visitor("127.0.0.2") for one in everywhere], Ask(STORES, right(third)), [{}] * 6)
    expect(blocked == {BLOCKED: 6}, blocked)
    after = await tally([*spender, third.visitor()], Ask(STORES, right(third)), [{}] * 2 * ADMIN_LIMIT)
    expect(after == {"200": ADMIN_LIMIT, SPENT: ADMIN_LIMIT}, after)
    return f"{forgotten} of {ADMIN_LIMIT - 20} forgotten; blocked at {len(everywhere)} gateways; then {summed(after)}"


async def until_shared(lab: Lab, gateway: GatewayReplica) -> None:
    """Wait until a gateway counts in the database again."""
    client = gateway.visitor(OTHERS)

    async def counts() -> bool:
        before = (await lab.sql(COUNTED, OTHERS))[0]["counted"]
        await client.get(STORES, headers=right(gateway))
        return bool((await lab.sql(COUNTED, OTHERS))[0]["counted"] > before)

    await until(f"{gateway.name} counting in the database", counts)


def summed(found: Mapping[str, int]) -> str:
    """Return how often each answer came."""
    return ", ".join(f"{number} x {answer}" for answer, number in sorted(found.items()))
