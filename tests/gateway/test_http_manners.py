import json
from collections.abc import AsyncIterator

import pytest

from libs.errors import Reason, TokhubError
from libs.rpc.status import CLASSES
from services.gateway.errors import STATUSES, error_response
from tests.gateway.raw_http import exchange, request
from tests.gateway.served import ADMIN, ADMIN_KEY, Gateway

JSON = {"Content-Type": "application/json"}
NEW_STORE = b'{"store_code":"a","store_name":"A","pic_name":"P"}'


async def test_an_unknown_path_is_a_json_404(gateway: Gateway) -> None:
    for path in ("/nowhere", "/admin/nothing", "/admin/stores/", "/docs/"):
        answer = await gateway.client.get(path)

        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "NOT_FOUND"
        assert answer.json()["requestId"] == answer.headers["X-Request-Id"]


async def test_a_wrong_method_names_the_right_ones(gateway: Gateway) -> None:
    stores = await gateway.client.request("PUT", "/admin/stores")
    run = await gateway.client.get("/admin/sync/run")
    callback = await gateway.client.head("/auth/tiktok/callback")

    assert [one.status_code for one in (stores, run, callback)] == [405] * 3
    assert [one.headers["Allow"] for one in (stores, run, callback)] == ["GET, HEAD, POST", "POST", "GET"]
    assert stores.json()["error"]["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize("path", ["/", "/health", "/api/openapi.json", "/admin/stores", "/admin/sync/logs"])
async def test_head_is_get_without_the_body(gateway: Gateway, path: str) -> None:
    get = await gateway.client.get(path, headers=ADMIN)
    head = await exchange(gateway.port, request("HEAD", path, f"X-API-KEY: {ADMIN_KEY}"))

    assert head.status == get.status_code == 200
    assert head.headers["content-type"] == get.headers["content-type"]
    if path not in {"/", "/health"}:
        assert head.headers["content-length"] == get.headers["content-length"]


async def test_a_body_above_the_limit_is_413(gateway: Gateway) -> None:
    big = b'{"store_code":"' + b"a" * 70_000 + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 8192):
            yield big[start : start + 8192]

    announced = await gateway.client.post("/admin/stores", content=big, headers=ADMIN | JSON)
    counted = await gateway.client.post("/admin/stores", content=chunks(), headers=ADMIN | JSON)
    unread = await gateway.client.post("/api/v1/integrations/tiktok/sync/u-1", content=chunks(), headers=ADMIN)

    for answer in (announced, counted, unread):
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""]
)
async def test_a_body_that_is_not_json_is_415(gateway: Gateway, kind: str) -> None:
    headers = ADMIN | ({"Content-Type": kind} if kind else {})

    answer = await gateway.client.post("/admin/stores", content=NEW_STORE, headers=headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nul",
        b"\xef\xbb\xbf" + NEW_STORE,
        NEW_STORE + b"x",
        NEW_STORE.decode().encode("utf-16"),
        b'{"store_code":"a","store_code":"b","store_name":"A","pic_name":"P"}',
        b'{"store_code":NaN}',
        b'{"store_code":-Infinity}',
        b'{"store_code":"\xff"}',
        b"[" * 60_000,
        b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
        b"9" * 60_000,
        b'{"store_code":"a","store_name":"\\ud800","pic_name":"P"}',
        b'{"\\ud800":1}',
        b'"text"',
        b"null",
    ],
)
async def test_json_with_tricks_is_400(gateway: Gateway, body: bytes) -> None:
    answer = await gateway.client.post("/admin/stores", content=body, headers=ADMIN | JSON)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    assert not gateway.suite.stores.rows


async def test_a_valid_request_id_goes_all_the_way(gateway: Gateway) -> None:
    answer = await gateway.client.get("/admin/stores", headers=ADMIN | {"X-Request-Id": "My.id_1-2"})

    assert answer.headers["X-Request-Id"] == "My.id_1-2"
    assert gateway.suite.stores.script.request_ids == ["My.id_1-2"]


@pytest.mark.parametrize("offered", ["", "a b", "x" * 65, "ä", "<script>"])
async def test_an_invalid_request_id_is_replaced(gateway: Gateway, offered: str) -> None:
    answer = await exchange(gateway.port, request("GET", "/", f"X-Request-Id: {offered}"))

    assert answer.headers["x-request-id"] != offered
    assert len(answer.headers["x-request-id"]) == 32


async def test_two_requests_have_two_ids(gateway: Gateway) -> None:
    ids = {(await gateway.client.get("/")).headers["X-Request-Id"] for _ in range(3)}

    assert len(ids) == 3


async def test_every_answer_has_safe_headers(gateway: Gateway) -> None:
    for path in ("/", "/health", "/nowhere", "/admin/stores", "/auth/url"):
        headers = (await gateway.client.get(path)).headers

        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "server" not in headers


@pytest.mark.parametrize("host", ["[::1", "a:b:c", "", "%zz", "x" * 3000])
async def test_a_broken_host_header_is_no_server_error(gateway: Gateway, host: str) -> None:
    for path in ("/", "/nowhere", "/connect/tiktok?store_code=a", "/auth/tiktok/callback?state=x&code=y"):
        sent = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

        assert (await exchange(gateway.port, sent)).status < 500


async def test_allowed_origins_may_call_from_a_browser(gateway: Gateway) -> None:
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    allowed = await gateway.client.options("/admin/stores", headers={"Origin": "http://localhost:5173"} | preflight)
    foreign = await gateway.client.options("/admin/stores", headers={"Origin": "http://evil.example"} | preflight)
    simple = await gateway.client.get("/", headers={"Origin": "http://localhost:5173"})

    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert not [name for name in foreign.headers if name.startswith("access-control-")]
    assert "X-Request-Id" in simple.headers["Access-Control-Expose-Headers"]


def test_every_reason_has_a_status() -> None:
    assert set(STATUSES) == set(Reason)


EXPECTED = {
    "INVALID_FIELD": (400, "INVALID_REQUEST"),
    "UNAUTHENTICATED": (401, "UNAUTHORIZED"),
    "NOT_ALLOWED": (403, "FORBIDDEN"),
    "RATE_LIMITED": (429, "RATE_LIMIT_EXCEEDED"),
    "INTERNAL": (500, "INTERNAL_ERROR"),
    "SERVER_MISCONFIG": (500, "SERVER_MISCONFIG"),
    "STATE_INVALID": (400, "STATE_INVALID"),
    "STATE_EXPIRED": (400, "STATE_EXPIRED"),
    "STATE_REUSED": (400, "STATE_REUSED"),
    "AUTHORIZATION_DENIED": (400, "AUTHORIZATION_DENIED"),
    "REAUTH_REQUIRED": (409, "REAUTH_REQUIRED"),
    "LOST_RESPONSE": (409, "LOST_RESPONSE"),
    "KEY_NOT_READY": (409, "KEY_NOT_READY"),
    "ACCOUNT_ALREADY_CONNECTED": (409, "ACCOUNT_ALREADY_CONNECTED"),
    "RUN_ALREADY_ACTIVE": (409, "RUN_ALREADY_ACTIVE"),
    "STORE_EXISTS": (409, "STORE_EXISTS"),
    "STORE_NOT_FOUND": (404, "STORE_NOT_FOUND"),
    "CONNECTION_NOT_FOUND": (404, "CONNECTION_NOT_FOUND"),
    "RUN_NOT_FOUND": (404, "RUN_NOT_FOUND"),
    "SCOPE_MISSING": (403, "SCOPE_MISSING"),
    "UPSTREAM_BAD_RESPONSE": (502, "UPSTREAM_BAD_RESPONSE"),
    "UPSTREAM_RESPONSE_TOO_LARGE": (502, "UPSTREAM_RESPONSE_TOO_LARGE"),
    "UPSTREAM_CURSOR_LOOP": (502, "UPSTREAM_CURSOR_LOOP"),
    "UPSTREAM_UNAVAILABLE": (503, "UPSTREAM_UNAVAILABLE"),
    "STORAGE_UNAVAILABLE": (503, "STORAGE_UNAVAILABLE"),
    "REFRESH_IN_PROGRESS": (503, "REFRESH_IN_PROGRESS"),
    "LOCKED_OUT": (429, "LOCKED_OUT"),
    "UPSTREAM_RATE_LIMITED": (429, "UPSTREAM_RATE_LIMITED"),
    "DEADLINE_EXCEEDED": (504, "DEADLINE_EXCEEDED"),
}


@pytest.mark.parametrize("reason", sorted(set(EXPECTED) - {"INVALID_FIELD"}))
async def test_a_service_error_becomes_its_http_answer(gateway: Gateway, reason: str) -> None:
    gateway.suite.stores.script.fail_next = CLASSES[reason]("what happened")

    answer = await gateway.client.get("/admin/stores", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == EXPECTED[reason]
    assert ("Retry-After" in answer.headers) is (answer.status_code in {429, 503, 504} and reason in RETRIED)


RETRIED = {
    "RATE_LIMITED",
    "LOCKED_OUT",
    "UPSTREAM_RATE_LIMITED",
    "UPSTREAM_UNAVAILABLE",
    "STORAGE_UNAVAILABLE",
    "REFRESH_IN_PROGRESS",
    "DEADLINE_EXCEEDED",
}


def test_metadata_stays_inside_unless_it_is_meant_for_programs() -> None:
    error = TokhubError("x", metadata={"run_id": "7", "secret": "CNRYsecret"})

    body = json.loads(bytes(error_response(error).body))

    assert body["error"] == {"code": "INTERNAL_ERROR", "message": "x", "runId": "7"}


async def test_the_unforeseen_is_answered_without_its_text(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def explode(_store: object, _connection: object) -> None:
        raise RuntimeError("CNRYinside")

    monkeypatch.setattr("services.gateway.routes.stores.store_detail", explode)
    gateway.suite.stores.add("a")

    answer = await gateway.client.get("/admin/stores", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
    logged = capfd.readouterr()
    assert "unhandled exception" in logged.out
    assert "CNRYinside" not in answer.text + logged.out + logged.err


async def test_a_path_without_end_is_cut_short_in_the_log(gateway: Gateway, capfd: pytest.CaptureFixture[str]) -> None:
    await exchange(gateway.port, request("GET", "/" + "a" * 20_000))

    logged = capfd.readouterr().out
    assert "a" * 150 in logged
    assert "a" * 200 not in logged


async def test_the_openapi_document_lists_the_routes(gateway: Gateway) -> None:
    document = (await gateway.client.get("/api/openapi.json")).json()

    assert {
        "/",
        "/health",
        "/admin/stores",
        "/admin/stores/{store_code}",
        "/admin/stores/{store_code}/accounts",
        "/admin/stores/{store_code}/user-stats",
        "/admin/stores/{store_code}/video-stats",
        "/admin/stores/{store_code}/sync-logs",
        "/admin/stores/{store_code}/connect-link",
        "/admin/reports/growth",
        "/admin/reports/top-videos",
        "/admin/reports/daily-totals",
        "/admin/reports/completeness",
        "/admin/export",
        "/admin/audit",
        "/admin/audit/verify",
        "/api/v1/integrations/tiktok/metrics/{user_id}",
        "/api/v1/integrations/tiktok/sync/{user_id}",
        "/api/v1/integrations/tiktok/status/{user_id}",
        "/api/v1/integrations/tiktok/auth/init",
        "/api/v1/integrations/tiktok/auth/callback",
        "/api/v1/integrations/tiktok/disconnect/{user_id}",
        "/api/tiktok/refresh-all-tokens",
        "/admin/vault",
        "/admin/vault/rotate",
        "/admin/connections",
        "/admin/connections/{connection_id}",
        "/admin/forecast",
        "/api/v1/tiktok/auth/initiate",
        "/api/v1/tiktok/auth/callback",
        "/api/v1/tiktok/auth/refresh",
        "/api/v1/tiktok/auth/status",
        "/api/v1/tiktok/shop/info",
        "/api/v1/tiktok/shop/disconnect",
        "/admin/sync/run",
        "/admin/sync/status",
        "/admin/sync/runs",
        "/admin/sync/runs/{run_id}",
        "/admin/sync/runs/{run_id}/events",
        "/admin/sync/runs/{run_id}/cancel",
        "/admin/sync/logs",
        "/connect/tiktok",
        "/auth/url",
        "/auth/tiktok/callback",
        "/integrations/tiktok.js",
        "/webhooks/tiktok",
        "/webhooks/tiktok-shop",
    } == set(document["paths"])
    answers = [
        answer for path in document["paths"].values() for method in path.values() for answer in method["responses"]
    ]
    assert "422" not in answers
