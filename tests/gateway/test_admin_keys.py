import asyncio
from collections import Counter
from datetime import UTC, datetime

import pytest

from services.gateway.auth import WrongKey, admin_key, find_key, parse_keys
from tests.gateway.raw_http import exchange, request
from tests.gateway.served import ADMIN, ADMIN_KEY, READ, READ_KEY, Gateway, Limits, serve_suite

WRONG = {"X-API-KEY": "x" * 40}


@pytest.mark.parametrize("headers", [{}, WRONG, {"X-API-KEY": ""}, {"X-API-KEY": ADMIN_KEY[:-1]}])
async def test_without_a_right_key_nobody_passes(gateway: Gateway, headers: dict[str, str]) -> None:
    answer = await gateway.client.get("/admin/stores", headers=headers)

    assert answer.status_code == 401
    assert answer.json() == {
        "success": False,
        "error": {"code": "UNAUTHORIZED", "message": "Missing or invalid API key"},
        "requestId": answer.headers["X-Request-Id"],
    }


async def test_every_operator_route_asks_for_a_key(gateway: Gateway) -> None:
    run = "00000000-0000-4000-8000-000000000000"
    paths = ["stores", "stores/a", "stores/a/accounts", "stores/a/user-stats", "stores/a/video-stats"]
    paths += ["stores/a/sync-logs", "sync/logs", f"sync/runs/{run}", f"sync/runs/{run}/events"]

    statuses = [(await gateway.client.get(f"/admin/{path}")).status_code for path in paths]

    assert statuses == [401] * 5 + [429] * 4


async def test_a_read_key_reads_and_changes_nothing(gateway: Gateway) -> None:
    read = await gateway.client.get("/admin/stores", headers=READ)
    write = await gateway.client.post("/admin/sync/run", headers=READ)

    assert read.status_code == 200
    assert (write.status_code, write.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert not gateway.suite.sync.runs


async def test_services_hear_whose_key_it_was(gateway: Gateway) -> None:
    await gateway.client.get("/admin/stores", headers=READ)
    await gateway.client.get("/admin/stores", headers=ADMIN)
    await gateway.client.get("/connect/tiktok", params={"store_code": "nobody"})

    assert gateway.suite.stores.script.actors == [
        "ipv4:127.0.0.1 for key/viewer",
        "ipv4:127.0.0.1 for key/ops",
        "ipv4:127.0.0.1",
    ]


async def test_the_key_is_asked_before_the_body_is_read(gateway: Gateway) -> None:
    answer = await gateway.client.post("/admin/stores", content=b"{", headers={"Content-Type": "application/json"})

    assert answer.status_code == 401


async def test_two_keys_are_one_too_many(gateway: Gateway) -> None:
    key = f"X-API-KEY: {ADMIN_KEY}"

    answer = await exchange(gateway.port, request("GET", "/admin/stores", key, key))

    assert answer.status == 400
    assert answer.json()["error"] == {"code": "INVALID_REQUEST", "message": "X-API-KEY must be sent once"}


@pytest.mark.parametrize("name", ["X-API-KEY", "x-api-key", "api_key", "apiKey", "key", "token"])
async def test_a_key_in_the_address_is_refused(gateway: Gateway, name: str) -> None:
    answer = await gateway.client.get("/admin/stores", params={name: ADMIN_KEY}, headers=ADMIN)

    assert answer.status_code == 400
    assert ADMIN_KEY not in answer.text


@pytest.mark.parametrize("value", ["\xff" * 40, "é" * 40, "k" * 8000])
async def test_a_strange_key_is_only_a_wrong_one(gateway: Gateway, value: str) -> None:
    answer = await exchange(gateway.port, request("GET", "/admin/stores", f"X-API-KEY: {value}"))

    assert answer.status == 401


async def test_parallel_wrong_keys_are_refused_exactly_five_times(gateway: Gateway) -> None:
    answers = await asyncio.gather(*(gateway.client.get("/admin/stores", headers=WRONG) for _ in range(200)))

    codes = Counter((answer.status_code, answer.json()["error"]["code"]) for answer in answers)
    assert codes == {(401, "UNAUTHORIZED"): 5, (429, "LOCKED_OUT"): 195}
    assert all(1 <= int(one.headers["Retry-After"]) <= 900 for one in answers if one.status_code == 429)


async def test_a_blocked_address_waits_even_with_the_right_key(gateway: Gateway) -> None:
    for _ in range(5):
        await gateway.client.get("/admin/stores", headers=WRONG)
    blocked = await gateway.client.get("/admin/sync/logs", headers=ADMIN | {"X-Forwarded-For": "203.0.113.9"})

    gateway.clock.shift = 899
    still = await gateway.client.get("/admin/sync/logs", headers=ADMIN)
    gateway.clock.shift = 901
    free = await gateway.client.get("/admin/sync/logs", headers=ADMIN)

    assert [blocked.status_code, still.status_code, free.status_code] == [429, 429, 200]
    error = blocked.json()["error"]
    assert error["code"] == "LOCKED_OUT"
    until = datetime.fromisoformat(error["message"].partition(" blocked until ")[2].partition(" UTC")[0] + "+00:00")
    assert abs((until - datetime.now(UTC)).total_seconds() - 900) < 60


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_pages_of_other_sites_lock_nobody_out(gateway: Gateway, site: str) -> None:
    asked = [await gateway.client.get("/admin/stores", headers={"Sec-Fetch-Site": site}) for _ in range(6)]
    right = await gateway.client.get("/admin/stores", headers=ADMIN)

    assert [answer.status_code for answer in asked] == [401] * 6
    assert right.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site"} | WRONG,
        {"Sec-Fetch-Site": "cross-site", "X-API-KEY": ""},
        {"Sec-Fetch-Site": "same-site", "Authorization": "Bearer x"},
    ],
)
async def test_all_other_missing_and_wrong_keys_count(gateway: Gateway, headers: dict[str, str]) -> None:
    for _ in range(5):
        await gateway.client.get("/admin/stores", headers=headers)

    assert (await gateway.client.get("/admin/stores", headers=ADMIN)).status_code == 429


async def test_a_right_key_between_wrong_ones_forgives_nothing(gateway: Gateway) -> None:
    for headers in (WRONG, WRONG, WRONG, ADMIN, WRONG, WRONG):
        await gateway.client.get("/admin/stores", headers=headers)

    assert (await gateway.client.get("/admin/stores", headers=ADMIN)).status_code == 429


async def test_old_failures_are_forgotten(gateway: Gateway) -> None:
    for shift in (0, 0, 0, 0, 901, 901, 901, 901):
        gateway.clock.shift = shift
        answer = await gateway.client.get("/admin/stores", headers=WRONG)
        assert answer.status_code == 401


async def test_the_admin_budget_holds_under_concurrency() -> None:
    async with serve_suite(Limits(admin=20)) as gateway:
        calls = [
            gateway.client.get("/admin/stores", headers=ADMIN | {"X-Forwarded-For": f"198.51.100.{number}"})
            for number in range(50)
        ]
        answers = await asyncio.gather(*calls)
        gateway.clock.shift = 61
        later = await gateway.client.get("/admin/stores", headers=ADMIN)

    assert Counter(answer.status_code for answer in answers) == {200: 20, 429: 30}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert later.status_code == 200


def test_keys_are_found_by_their_whole_value() -> None:
    keys = parse_keys(f"a:admin:{ADMIN_KEY},b:read:{READ_KEY}")

    assert [one.name if (one := find_key(keys, key)) else None for key in (ADMIN_KEY, READ_KEY, "", ADMIN_KEY[1:])] == [
        "a",
        "b",
        None,
        None,
    ]
    assert ADMIN_KEY not in repr(keys)


@pytest.mark.parametrize(
    "text",
    [
        "a:admin:short",
        f"a:root:{ADMIN_KEY}",
        f"a:{ADMIN_KEY}",
        f":admin:{ADMIN_KEY}",
        f"a:admin:{ADMIN_KEY},a:read:{READ_KEY}",
        f"a:admin:{ADMIN_KEY},b:read:{ADMIN_KEY}",
        f"a:admin:{ADMIN_KEY} {ADMIN_KEY}",
        f"{ADMIN_KEY}:admin:ops",
        f"{ADMIN_KEY}:ops:admin",
    ],
)
def test_a_weak_or_doubled_key_is_refused_unseen(text: str) -> None:
    with pytest.raises(WrongKey) as refused:
        parse_keys(text)

    assert ADMIN_KEY not in str(refused.value)


@pytest.mark.parametrize("name", ["opé", "\uff4fps", "\u043eps", "ops\n", "o ps", "o.ps", "", "o" * 65])
def test_a_key_name_that_cannot_travel_is_refused(name: str) -> None:
    with pytest.raises(WrongKey, match="1-64 ASCII letters, digits, _ and -"):
        admin_key(name, "admin", ADMIN_KEY)


async def test_services_hear_every_key_name_that_is_taken() -> None:
    name = "7-Ops_" + "o" * 58
    async with serve_suite(Limits(keys=f"{name}:admin:{ADMIN_KEY}")) as gateway:
        assert (await gateway.client.get("/admin/stores", headers=ADMIN)).status_code == 200

    assert gateway.suite.stores.script.actors == [f"ipv4:127.0.0.1 for key/{name}"]
