import asyncio
import json
import resource
import signal
from pathlib import Path

import httpx
import pytest
from tokhub.sync.v1 import sync_pb2

from libs.settings import WrongSetting, parse
from services.gateway.server import Listen, bind
from services.gateway.settings import GatewaySettings
from tests.gateway.processes import ended, launch, line_with, running
from tests.gateway.served import ADMIN, ADMIN_KEY, READ_KEY, Suite


async def test_sigterm_says_goodbye_before_it_goes() -> None:
    suite = Suite()
    run = suite.sync.begin(sync_pb2.JOB_ALL)
    async with running(suite) as (process, url), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/health")).status_code == 200
        async with client.stream("GET", f"/admin/sync/runs/{run.row.id}/events", headers=ADMIN) as events:
            await run.watched()
            process.send_signal(signal.SIGTERM)
            rest = [line async for line in events.aiter_lines()]
        farewell = await client.get("/health")
        code = await asyncio.wait_for(process.wait(), 10)

    assert [line for line in rest if line.startswith("id:")] in ([], ["id: 0"])
    assert farewell.status_code == 503
    assert code == 0


async def test_a_request_is_one_json_line_without_its_query() -> None:
    async with running(Suite()) as (process, url), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        path = "/auth/tiktok/callback"
        answer = await client.get(f"{path}?state=CNRYstate&code=CNRYcode", headers={"X-Request-Id": "abc"})
        event = await line_with(process, "request")

    assert answer.status_code == 400
    assert event["service"] == "gateway"
    assert (event["method"], event["path"], event["status"], event["request_id"]) == ("GET", path, 400, "abc")
    assert "CNRY" not in json.dumps(event)


async def test_a_gateway_takes_all_descriptors_it_may_have() -> None:
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    try:
        process = await launch(ADMIN_API_KEY=ADMIN_KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))
    async with ended(process):
        await line_with(process, "serving")
        found = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)

    assert found == (most, most)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "ADMIN_API_KEY: set it"),
        ({"ADMIN_API_KEY": "short"}, "ADMIN_API_KEY: key admin must have at least 32 characters"),
        ({"ADMIN_API_KEY": ADMIN_KEY, "PORT": "x"}, "PORT: "),
        ({"ADMIN_API_KEY": ADMIN_KEY, "AUTH_UNLOCK": "127.0.0.1,all"}, "AUTH_UNLOCK: every entry must be an address"),
        ({"ADMIN_API_KEY": ADMIN_KEY, "DATABASE_URL": "mysql://gate:CNRYx@127.0.0.1/x"}, "DATABASE_URL does not start"),
    ],
)
async def test_a_wrong_setting_stops_the_start_with_one_line(settings: dict[str, str], line: str) -> None:
    process = await launch(**settings)

    _, errors = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 78
    assert errors.decode().startswith(f"tokhub cannot start: {line}")
    assert errors.count(b"\n") == 1


async def test_a_taken_port_stops_the_start_with_one_line() -> None:
    with bind(Listen(host="127.0.0.1", port=0)) as taken:
        process = await launch(ADMIN_API_KEY=ADMIN_KEY, PORT=str(taken.getsockname()[1]))
        _, errors = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 78
    assert errors.decode().startswith("tokhub cannot start: HOST, PORT: Address already in use")
    assert errors.count(b"\n") == 1


def test_keys_of_both_variables_count(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text(f"{ADMIN_KEY}\n")
    environment = {"ADMIN_API_KEY_FILE": str(secret), "ADMIN_API_KEYS": f"viewer:read:{READ_KEY}"}

    settings = parse(GatewaySettings, environment)

    assert [key.name for key in settings.keys] == ["viewer", "admin"]
    assert ADMIN_KEY not in repr(settings)
    assert READ_KEY not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ADMIN_API_KEYS", f"a:root:{READ_KEY}"),
        ("CORS_ORIGIN", "*"),
        ("CORS_ORIGIN", "http://a.example/path"),
        ("RATE_LIMIT_ADMIN_PER_MINUTE", "0"),
        ("AUTH_MAX_FAILURES", "-1"),
        ("LOG_LEVEL", "loud"),
        ("USER_JWT_SECRET", READ_KEY[:31]),
        ("USER_JWKS_URL", "http://login.example/keys"),
    ],
)
def test_a_wrong_value_is_named_and_not_shown(variable: str, value: str) -> None:
    with pytest.raises(WrongSetting) as refused:
        parse(GatewaySettings, {"ADMIN_API_KEY": ADMIN_KEY, variable: value})

    assert str(refused.value).startswith(f"{variable}: ")
    assert READ_KEY not in str(refused.value)


def test_two_kinds_of_user_keys_are_one_too_many() -> None:
    both = {"USER_JWT_SECRET": READ_KEY, "USER_JWKS_URL": "https://login.example/keys"}

    with pytest.raises(WrongSetting, match="USER_JWKS_URL: set USER_JWT_SECRET or USER_JWKS_URL, not both"):
        parse(GatewaySettings, {"ADMIN_API_KEY": ADMIN_KEY, **both})


def test_addresses_to_unlock_are_read_as_they_are_counted() -> None:
    told = {"ADMIN_API_KEY": ADMIN_KEY, "AUTH_UNLOCK": "127.0.0.1, 2001:db8::7"}

    assert parse(GatewaySettings, told).auth_unlock == ("127.0.0.1", "2001:db8::/64")
