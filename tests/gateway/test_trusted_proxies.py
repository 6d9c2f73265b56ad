import asyncio
import random
from collections import Counter
from ipaddress import IPv4Address

import pytest
from starlette.requests import HTTPConnection

from libs.settings import WrongSetting, parse
from services.gateway.addresses import address_of, parse_networks
from services.gateway.settings import GatewaySettings
from tests.gateway.served import ADMIN, ADMIN_KEY, Gateway, Limits, serve_suite

WRONG = {"X-API-KEY": "x" * 40}
PROXIES = parse_networks("10.0.0.0/8, 192.0.2.1, 2001:db8:f::/48")


def seen_as(peer: str, *forwarded: str) -> str:
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    return address_of(HTTPConnection({"type": "http", "headers": headers, "client": (peer, 1)}), PROXIES)


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("198.51.100.9", ["203.0.113.5"], "198.51.100.9"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.5"], "203.0.113.5"),
        ("::ffff:10.1.2.3", ["203.0.113.5"], "203.0.113.5"),
        ("10.1.2.3", ["1.1.1.1, 203.0.113.5"], "203.0.113.5"),
        ("10.1.2.3", ["1.1.1.1", "203.0.113.5, 192.0.2.1"], "203.0.113.5"),
        ("10.1.2.3", ["1.1.1.1", "203.0.113.5"], "203.0.113.5"),
        ("10.1.2.3", ["10.9.9.9, 192.0.2.1"], "10.9.9.9"),
        ("10.1.2.3", ["203.0.113.5, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.5:4711"], "203.0.113.5"),
        ("10.1.2.3", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("2001:db8:f::1", ["::ffff:203.0.113.5"], "203.0.113.5"),
    ],
)
def test_only_what_a_trusted_proxy_saw_counts(peer: str, forwarded: list[str], counted: str) -> None:
    assert seen_as(peer, *forwarded) == counted


@pytest.mark.parametrize("value", ["*", "0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example", "10.0.0.0/8;10.1.1.1"])
def test_proxies_that_cannot_be_trusted_stop_the_start(value: str) -> None:
    with pytest.raises(WrongSetting, match=r"^TRUSTED_PROXIES: "):
        parse(GatewaySettings, {"ADMIN_API_KEY": ADMIN_KEY, "TRUSTED_PROXIES": value})


def random_hops() -> dict[str, str]:
    return {"X-Forwarded-For": ", ".join(str(IPv4Address(random.getrandbits(32))) for _ in range(random.randint(1, 3)))}


async def test_a_thousand_forged_addresses_stay_blocked(gateway: Gateway) -> None:
    for _ in range(5):
        await gateway.client.get("/admin/stores", headers=WRONG | random_hops())

    statuses: Counter[int] = Counter()
    for _ in range(20):
        answers = (gateway.client.get("/admin/stores", headers=ADMIN | random_hops()) for _ in range(50))
        statuses.update(answer.status_code for answer in await asyncio.gather(*answers))

    assert statuses == {429: 1_000}


async def test_behind_a_proxy_each_client_has_its_own_budget() -> None:
    async with serve_suite(Limits(oauth=1, trusted_proxies="127.0.0.0/8")) as gateway:
        clients = ["203.0.113.1", "203.0.113.2", "198.51.100.7, 203.0.113.1"]
        links = [
            await gateway.client.get("/auth/url?store_code=store_1", headers={"X-Forwarded-For": one})
            for one in clients
        ]

    assert [link.status_code == 429 for link in links] == [False, False, True]


async def test_every_answer_tells_what_is_left() -> None:
    async with serve_suite(Limits(admin=2)) as gateway:
        answers = [await gateway.client.get("/admin/stores", headers=ADMIN) for _ in range(3)]
        free = await gateway.client.get("/")

    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"2"}
    assert all(1 <= int(answer.headers["RateLimit-Reset"]) <= 60 for answer in answers)
    assert answers[2].headers["Retry-After"] == answers[2].headers["RateLimit-Reset"]
    assert "RateLimit-Limit" not in free.headers
