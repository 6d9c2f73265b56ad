import asyncio
from collections import Counter
from itertools import cycle
from uuid import uuid4

import httpx
import pytest

from libs.database.roles import ServiceRole, ensure_roles
from libs.secret import Secret
from tests.gateway.processes import clients, replicas
from tests.gateway.served import ADMIN, Suite

WRONG = {"X-API-KEY": "x" * 40}


@pytest.fixture
async def gateway_dsn(database_dsn: str) -> str:
    """The address of an empty database for a role that may do what a gateway has to, and nothing else."""
    role = ServiceRole(name=f"tokhub_gateway_{uuid4().hex[:8]}", schemas=("gateway",), password=Secret("gate's"))
    return (await ensure_roles(database_dsn, [role]))[role.name]


async def statuses(gateways: list[httpx.AsyncClient], count: int, path: str, headers: dict[str, str]) -> Counter[int]:
    """Return how often each status was answered, asking the gateways in turn and all at once."""
    turns = zip(range(count), cycle(gateways), strict=False)
    answers = await asyncio.gather(*(gateway.get(path, headers=headers) for _, gateway in turns))
    return Counter(answer.status_code for answer in answers)


async def test_two_hundred_guesses_at_three_gateways_fail_five_times(gateway_dsn: str) -> None:
    async with replicas(3, Suite(), DATABASE_URL=gateway_dsn) as started, clients(started) as gateways:
        guesses = await statuses(gateways, 200, "/admin/stores", WRONG)
        elsewhere = await statuses(gateways, 6, "/admin/sync/logs", ADMIN)

    assert guesses == {401: 5, 429: 195}
    assert elsewhere == {429: 6}


async def test_a_guesser_who_changes_gateways_gains_nothing(gateway_dsn: str) -> None:
    async with replicas(3, Suite(), DATABASE_URL=gateway_dsn) as started, clients(started) as gateways:
        turns = [gateways[number % 3] for number in range(7)]
        guesses = [(await gateway.get("/admin/stores", headers=WRONG)).status_code for gateway in turns]
        late = await gateways[2].get("/admin/stores", headers=ADMIN)

    assert guesses == [401] * 5 + [429] * 2
    assert (late.status_code, late.json()["error"]["code"]) == (429, "LOCKED_OUT")
    assert 1 <= int(late.headers["Retry-After"]) <= 900


async def test_three_gateways_let_a_hundred_requests_through(gateway_dsn: str) -> None:
    async with replicas(3, Suite(), DATABASE_URL=gateway_dsn) as started, clients(started) as gateways:
        asked = await statuses(gateways, 240, "/admin/stores", ADMIN)
        links = await statuses(gateways, 30, "/auth/url?store_code=store_1", {})

    assert asked == {200: 100, 429: 140}
    assert links[429] == 20


async def test_a_lockout_outlives_every_gateway(gateway_dsn: str) -> None:
    suite = Suite()
    async with replicas(1, suite, DATABASE_URL=gateway_dsn) as started, clients(started) as gateways:
        await statuses(gateways, 5, "/admin/stores", WRONG)
    async with replicas(1, suite, DATABASE_URL=gateway_dsn) as started, clients(started) as gateways:
        assert await statuses(gateways, 1, "/admin/stores", ADMIN) == {429: 1}


async def test_a_gateway_without_its_database_still_counts() -> None:
    nowhere = "postgresql://gateway:secret@127.0.0.1:1/tokhub"
    suite, settings = Suite(), {"DATABASE_URL": nowhere, "GATEWAY_REPLICAS": "4", "RATE_LIMIT_ADMIN_PER_MINUTE": "40"}
    async with replicas(1, suite, **settings) as started, clients(started) as gateways:
        asked = await statuses(gateways, 30, "/admin/stores", ADMIN)
    settings |= {"AUTH_MAX_FAILURES": "12"}
    async with replicas(1, suite, **settings) as started, clients(started) as gateways:
        guesses = await statuses(gateways, 8, "/admin/stores", WRONG)

    assert asked == {200: 10, 429: 20}
    assert guesses == {401: 3, 429: 5}
