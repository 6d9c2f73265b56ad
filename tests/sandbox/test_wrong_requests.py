import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.sandbox.visitor import Visitor

DEEP = "[" * 20_000
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_a_wrong_method_is_refused_flat(visitor: Visitor, method: str) -> None:
    answer = await visitor.client.request(method, "/v2/oauth/token/")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json().keys() == {"error", "error_description", "log_id"}


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/v2/user/info/"), ("GET", "/v2/video/list"), ("GET", "/v2/x")]
)
async def test_the_display_api_refuses_in_its_envelope(visitor: Visitor, method: str, path: str) -> None:
    answer = await visitor.client.request(method, path)
    assert answer.status_code in (404, 405)
    assert answer.json()["error"]["code"] == "invalid_params"


async def test_control_calls_that_do_not_exist_say_where_the_list_is(visitor: Visitor) -> None:
    assert "GET /sandbox/" in (await visitor.client.get("/sandbox/nothing")).json()["error"]["message"]


@pytest.mark.parametrize("body", ["", "x", "{}", "client_key=" + "k" * 3_000_000, "%ff=%00&client_secret=%ed%a0%80"])
async def test_a_form_that_makes_no_sense_is_malformed(visitor: Visitor, body: str) -> None:
    answer = await visitor.client.post("/v2/oauth/token/", content=body, headers=FORM)
    assert (answer.status_code, answer.json()["error"]) == (200, "invalid_request")


@pytest.mark.parametrize("body", [DEEP, "[]", "{", '{"cursor": 1e30}', '{"cursor": "1"}', "x" * 3_000_000])
async def test_a_video_body_that_makes_no_sense_is_invalid(visitor: Visitor, body: str) -> None:
    headers = {"Authorization": f"Bearer {(await visitor.connect())['access_token']}"}
    answer = await visitor.client.post("/v2/video/list/?fields=id", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_params")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/sandbox/settings", '{"redirect_uris": ["\\ud800"]}'),
        ("PATCH", "/sandbox/settings", '{"code_ttl_seconds": 1e400}'),
        ("PATCH", "/sandbox/settings", '{"redirect_uris": ["javascript:alert(1)"]}'),
        ("PATCH", "/sandbox/settings", '{"redirect_uris": ["http://127.0.0.1/cb?a=1#part"]}'),
        ("PATCH", "/sandbox/settings", '{"shop_redirect_uri": "http://x/\\r\\nA: b"}'),
        ("POST", "/sandbox/faults", '{"kind": "redirect", "to": "http://ü/"}'),
        ("POST", "/sandbox/accounts/store_0001/grant", '{"scopes": ["\\ud800"]}'),
        ("POST", "/sandbox/webhooks", '{"provider": "login", "open_id": "store_0001", "raw": "\\ud800"}'),
        ("POST", "/sandbox/faults", DEEP),
    ],
)
async def test_a_control_body_that_makes_no_sense_changes_nothing(
    visitor: Visitor, method: str, path: str, body: str
) -> None:
    before = (await visitor.client.get("/sandbox/settings")).json()
    answer = await visitor.client.request(method, path, content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID")
    assert (await visitor.client.get("/sandbox/settings")).json() == before


async def test_the_clock_cannot_be_led_out_of_the_calendar(visitor: Visitor) -> None:
    century = {"advance_seconds": 3_162_240_000}
    statuses = [(await visitor.client.post("/sandbox/clock", json=century)).status_code for _ in range(3)]
    assert statuses == [200, 400, 400]
    assert (await visitor.client.get("/sandbox/clock")).json()["now"].startswith("21")


async def test_a_refusal_does_not_repeat_megabytes(visitor: Visitor) -> None:
    answer = await visitor.client.post("/sandbox/faults", json={"kind": "x" * 1_000_000})
    assert (answer.status_code, len(answer.content) < 1_000) == (400, True)


async def test_no_fault_has_an_endless_number(visitor: Visitor) -> None:
    assert (await visitor.client.delete(f"/sandbox/faults/{'9' * 5_000}")).status_code == 404


async def test_an_endless_number_in_the_query_is_none(visitor: Visitor) -> None:
    assert (await visitor.ask(offset="9" * 6_000)).status_code == 200


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v2/oauth/broken", '"error":"server_error"'),
        ("/v2/broken", '"code":"internal_error"'),
        ("/authorization/broken", '"code":36009003'),
        ("/sandbox/broken", '"code":"INTERNAL_SERVER_ERROR"'),
    ],
)
async def test_a_crash_is_told_without_its_reason(app: Starlette, path: str, said: str) -> None:
    async def broken(_request: Request) -> Response:
        raise ValueError("act.CNRYsecret")

    app.router.routes.insert(0, Route(path, broken))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://tt") as client:
        answer = await client.get(path)
    assert answer.status_code == 500
    assert said in answer.text
    assert "CNRY" not in answer.text
