import asyncio
import re

import pytest
from tokhub.sync.v1 import sync_pb2_grpc

from libs.rpc import server as rpc_server
from libs.rpc.client import open_channel
from services.gateway.backends import SchedulerHealth, Targets
from tests.gateway.raw_http import exchange, request
from tests.gateway.served import READ_KEY, Gateway, Suite, serve_gateway, sync_server, token_server

ALL_OK = {"database": "ok", "encryption": "ok", "token": "ok", "sync": "ok", "scheduler": "enabled"}


async def test_a_usable_suite_is_healthy(gateway: Gateway) -> None:
    answer = await gateway.client.get("/health")

    body = answer.json()
    assert answer.status_code == 200
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body.pop("timestamp"))
    assert body.pop("responseTime") >= 0
    assert body == {
        "status": "healthy",
        "uptime": 0,
        "version": "0.1.0",
        "requestId": answer.headers["X-Request-Id"],
        "checks": ALL_OK,
    }


async def test_the_index_names_the_routes(gateway: Gateway) -> None:
    body = (await gateway.client.get("/")).json()

    assert list(body) == ["name", "version", "documentation", "endpoints"]
    assert body["endpoints"]["health"] == "GET /health"
    assert (await gateway.client.get(body["documentation"])).status_code == 200


async def test_a_service_that_is_down_makes_it_unhealthy() -> None:
    suite = Suite()
    async with token_server(suite) as token:
        targets = Targets(token=f"127.0.0.1:{token.port}", sync="127.0.0.1:1")
        async with serve_gateway(suite, targets) as gateway:
            answer = await gateway.client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["status"] == "unhealthy"
    assert answer.json()["checks"] == ALL_OK | dict.fromkeys(("database", "sync", "scheduler"), "unavailable")


async def test_a_service_that_returns_makes_it_healthy_again() -> None:
    suite = Suite()
    async with token_server(suite) as token:
        async with sync_server(suite) as first:
            port = first.port
        targets = Targets(token=f"127.0.0.1:{token.port}", sync=f"127.0.0.1:{port}")
        async with serve_gateway(suite, targets) as gateway:
            down = await gateway.client.get("/health")
            async with sync_server(suite, f"127.0.0.1:{port}"):
                async with asyncio.timeout(10):
                    while (await gateway.client.get("/health")).status_code != 200:
                        pass

    assert down.status_code == 503


@pytest.mark.parametrize(("name", "others"), [("encryption", {"token"}), ("database", {"token", "sync"})])
async def test_an_unusable_dependency_is_named(monkeypatch: pytest.MonkeyPatch, name: str, others: set[str]) -> None:
    monkeypatch.setattr(rpc_server, "CHECK_EVERY", 0.02)
    suite = Suite()
    suite.usable[name] = False
    async with token_server(suite) as token, sync_server(suite) as sync:
        targets = Targets(token=f"127.0.0.1:{token.port}", sync=f"127.0.0.1:{sync.port}")
        async with serve_gateway(suite, targets) as gateway:
            answer = await gateway.client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["checks"] == ALL_OK | dict.fromkeys({name, *others}, "unavailable")


async def test_a_scheduler_that_is_off_is_told_and_healthy(gateway: Gateway) -> None:
    gateway.suite.sync.schedule.enabled = False

    answer = await gateway.client.get("/health")

    assert (answer.status_code, answer.json()["checks"]) == (200, ALL_OK | {"scheduler": "disabled"})


async def test_many_who_ask_at_once_share_one_question() -> None:
    suite = Suite()
    async with sync_server(suite) as sync, open_channel(f"127.0.0.1:{sync.port}") as channel:
        scheduler = SchedulerHealth(sync_pb2_grpc.SyncServiceStub(channel))

        told = await asyncio.gather(*(scheduler.state() for _ in range(20)))
        again = await scheduler.state()

    assert (set(told), again) == ({"enabled"}, "enabled")
    assert suite.sync.schedules_told == 2


async def test_a_stopping_gateway_is_unhealthy_at_once(gateway: Gateway) -> None:
    gateway.stopping.set()

    answer = await gateway.client.get("/health")

    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")


async def test_metrics_count_requests_by_route(gateway: Gateway) -> None:
    await gateway.client.get("/admin/stores/secret_code")

    answer = await gateway.client.get("/metrics")

    assert answer.status_code == 200
    counted = 'tokhub_http_requests_total{method="GET",route="/admin/stores/{store_code}",status="401"} 1.0'
    assert counted in answer.text
    assert "secret_code" not in answer.text


@pytest.mark.parametrize("told", ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: hub.example", "Via: 1.1 proxy"])
async def test_metrics_are_not_for_strangers_behind_a_proxy(gateway: Gateway, told: str) -> None:
    stranger = await exchange(gateway.port, request("GET", "/metrics", told))
    operator = await exchange(gateway.port, request("GET", "/metrics", told, f"X-API-KEY: {READ_KEY}"))
    silent = await exchange(gateway.port, b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")

    assert (stranger.status, operator.status, silent.status) == (401, 200, 401)
