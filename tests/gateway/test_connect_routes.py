import base64
import hashlib
import re
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField, TokhubError
from libs.rpc.status import CLASSES
from services.gateway.pages.render import Pages
from tests.gateway.raw_http import exchange, request
from tests.gateway.served import Gateway, Limits, serve_suite

CALLBACK = "/auth/tiktok/callback"
XSS = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'-alert(1)-'", "</title><svg/onload=alert(1)>"]


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not any(name.startswith("on") or name in {"src", "href"} for name, _ in attrs)


def elements(html: str) -> list[str]:
    parser = Elements()
    parser.feed(html)
    return parser.seen


async def connect(gateway: Gateway, code: str = "store_jakarta_01") -> tuple[str, str]:
    """Follow a connect link as far as TikTok; return the state and the cookie."""
    gateway.suite.stores.add(code)
    answer = await gateway.client.get("/connect/tiktok", params={"store_code": code})
    assert answer.status_code == 302
    state = parse_qs(urlsplit(answer.headers["Location"]).query)["state"][0]
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["tokhub_oauth"]
    gateway.client.cookies.clear()
    return state, f"tokhub_oauth={cookie.value}"


async def come_back(gateway: Gateway, cookie: str = "", **parameters: str) -> Any:
    headers = {"Cookie": cookie} if cookie else {}
    answer = await gateway.client.get(CALLBACK, params=parameters, headers=headers)
    gateway.client.cookies.clear()
    return answer


async def test_connect_binds_the_link_to_the_browser(gateway: Gateway) -> None:
    gateway.suite.stores.add("a", team_id=7)

    answer = await gateway.client.get("/connect/tiktok?store_code=a")

    assert answer.headers["Location"].startswith("https://tiktok.example/v2/auth/authorize/")
    cookie = answer.headers["Set-Cookie"].split("; ")
    assert cookie[0].startswith("tokhub_oauth=")
    assert sorted(cookie[1:]) == ["HttpOnly", "Max-Age=600", "Path=/", "SameSite=lax"]
    asked, nonce = next(iter(gateway.suite.connections.links.values()))
    assert cookie[0] == f"tokhub_oauth={nonce}"
    assert (asked.binding, asked.team_id, asked.owner.id) == (token_pb2.LINK_BINDING_BROWSER, 7, "a")


async def test_away_from_loopback_the_cookie_is_host_bound(gateway: Gateway) -> None:
    gateway.suite.stores.add("a")

    answer = await gateway.client.get("/connect/tiktok?store_code=a", headers={"Host": "hub.example"})

    cookie = answer.headers["Set-Cookie"].split("; ")
    assert cookie[0].startswith("__Host-tokhub_oauth=")
    assert "Secure" in cookie
    assert not [part for part in cookie if part.startswith("Domain")]


async def test_a_plain_cookie_does_not_count_away_from_loopback(gateway: Gateway) -> None:
    state, cookie = await connect(gateway)

    answer = await gateway.client.get(
        CALLBACK, params={"state": state, "code": "c"}, headers={"Cookie": cookie, "Host": "hub.example"}
    )

    assert answer.status_code == 400
    assert gateway.suite.connections.completions[0].browser_nonce == ""


async def test_the_way_back_connects_and_says_so(gateway: Gateway) -> None:
    state, cookie = await connect(gateway)

    answer = await come_back(gateway, cookie, state=state, code="CNRYcode*1", scopes="user.info.basic,video.list")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>TikTok Connection Successful</title>" in answer.text
    text = " ".join(re.sub(r"<[^>]+>", "", answer.text).split())
    assert "✅ Successfully connected!" in text
    assert "Your TikTok account has been connected to store: store_jakarta_01" in text
    assert "You can close this window now." in text
    assert gateway.suite.connections.completions[0].code == "CNRYcode*1"
    assert 'tokhub_oauth=""; ' in answer.headers["Set-Cookie"]
    assert "Max-Age=0" in answer.headers["Set-Cookie"]


async def test_the_page_may_run_and_load_nothing(gateway: Gateway) -> None:
    state, cookie = await connect(gateway)
    for answer in (await come_back(gateway, cookie, state=state, code="c"), await come_back(gateway)):
        policy = answer.headers["Content-Security-Policy"]

        assert re.fullmatch(
            r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; frame-ancestors 'none'; "
            r"base-uri 'none'; form-action 'none'",
            policy,
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "script" not in elements(answer.text)


async def test_the_policy_allows_exactly_the_style_of_the_page(gateway: Gateway) -> None:
    answer = await gateway.client.get(CALLBACK)

    style = re.search("<style>(.*)</style>", answer.text, re.DOTALL)
    assert style
    allowed = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{allowed}'" in answer.headers["Content-Security-Policy"]


async def test_a_link_to_be_sent_works_in_any_browser(gateway: Gateway) -> None:
    gateway.suite.stores.add("a")

    answer = await gateway.client.get("/auth/url?store_code=a")
    state = parse_qs(urlsplit(answer.json()["data"]["authUrl"]).query)["state"][0]

    assert answer.json() == {"success": True, "data": {"authUrl": answer.json()["data"]["authUrl"]}}
    assert "Set-Cookie" not in answer.headers
    assert (await come_back(gateway, state=state, code="c")).status_code == 200


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("abc*1!2", "abc*1!2"),
        ("abc%2A1%212", "abc*1!2"),
        ("abc%252A1", "abc%2A1"),
        ("%25252A", "%252A"),
        ("a%2Bb%2Fc%3D", "a+b/c="),
        ("a.b-c_d~e", "a.b-c_d~e"),
    ],
)
async def test_a_code_is_decoded_exactly_once(gateway: Gateway, sent: str, received: str) -> None:
    state, cookie = await connect(gateway)

    path = f"{CALLBACK}?code={sent}&state={state}"
    answer = await exchange(gateway.port, request("GET", path, f"Cookie: {cookie}"))

    assert answer.status == 200
    assert gateway.suite.connections.completions[0].code == received


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=c",
        "state=&code=c",
        "state[]=s&code=c",
        "state=" + "s" * 3000 + "&code=c",
        "state=%00&code=c",
        "state=%ff&code=c",
    ],
)
async def test_a_callback_without_one_state_is_refused(gateway: Gateway, query: str) -> None:
    answer = await gateway.client.get(f"{CALLBACK}?{query}")

    assert answer.status_code == 400
    assert "Error: Invalid state parameter (possible CSRF attack)" in answer.text
    assert not gateway.suite.connections.completions


@pytest.mark.parametrize("code", ["", "a b", "c" * 10_000, "%00", "a\r\nb", "\N{SNOWMAN}"])
async def test_a_callback_without_a_usable_code_is_refused(gateway: Gateway, code: str) -> None:
    answer = await gateway.client.get(f"{CALLBACK}?state=s&code={quote(code, safe='%')}")

    assert answer.status_code == 400
    assert "incomplete, has been changed" in answer.text
    assert not gateway.suite.connections.completions


@pytest.mark.parametrize(
    ("sent", "told"), [("access_denied", "access_denied"), ("<script>", "unknown_error"), ("x" * 300, "unknown_error")]
)
async def test_a_refusal_on_tiktoks_page_is_passed_on(gateway: Gateway, sent: str, told: str) -> None:
    state, cookie = await connect(gateway)
    gateway.suite.connections.script.fail_next = CLASSES["AUTHORIZATION_DENIED"]()

    answer = await come_back(gateway, cookie, state=state, error=sent, error_description="CNRYdescription")

    assert answer.status_code == 400
    assert "declined on TikTok" in answer.text
    assert "CNRYdescription" not in answer.text
    assert gateway.suite.connections.completions[0].error == told


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("INVALID_FIELD", 400),
        ("STATE_INVALID", 400),
        ("STATE_EXPIRED", 400),
        ("STATE_REUSED", 400),
        ("AUTHORIZATION_DENIED", 400),
        ("SCOPE_MISSING", 403),
        ("ACCOUNT_ALREADY_CONNECTED", 409),
        ("UPSTREAM_RATE_LIMITED", 429),
        ("UPSTREAM_BAD_RESPONSE", 502),
        ("UPSTREAM_UNAVAILABLE", 503),
        ("STORAGE_UNAVAILABLE", 503),
        ("INTERNAL", 500),
    ],
)
async def test_a_failed_connection_is_a_page_with_its_status(gateway: Gateway, reason: str, status: int) -> None:
    state, cookie = await connect(gateway)
    gateway.suite.connections.script.fail_next = failure(reason)

    answer = await come_back(gateway, cookie, state=state, code="c")

    assert answer.status_code == status
    assert "<h1>Connection failed</h1>" in answer.text
    assert "CNRYtext" not in answer.text
    assert "start again from a new connect link" in answer.text.lower()
    taken_back = 'tokhub_oauth=""; ' in answer.headers.get("Set-Cookie", "")
    assert taken_back == (reason != "STATE_INVALID")


def failure(reason: str) -> TokhubError:
    """An error of the token service that says what no page may repeat."""
    said = f"CNRYtext {XSS[0]}"
    return InvalidField("code", said) if reason == "INVALID_FIELD" else CLASSES[reason](said)


async def test_a_callback_that_repeats_a_parameter_is_refused(gateway: Gateway) -> None:
    for query in ("state=s&state=s&code=c", "state=s&code=c&code=d"):
        answer = await gateway.client.get(f"{CALLBACK}?{query}")

        assert answer.status_code == 400
        assert "<h1>Connection failed</h1>" in answer.text
    assert not gateway.suite.connections.completions


async def test_a_start_that_repeats_a_parameter_is_refused(gateway: Gateway) -> None:
    for code in ("a", "b"):
        gateway.suite.stores.add(code)
    page = await gateway.client.get("/connect/tiktok?store_code=a&store_code=b")
    data = await gateway.client.get("/auth/url?store_code=a&store_code=b")

    assert [page.status_code, data.status_code] == [400, 400]
    assert "<h1>Connection failed</h1>" in page.text
    assert data.json()["error"] == {"code": "INVALID_REQUEST", "message": "store_code must be given once"}
    assert not gateway.suite.connections.links


async def test_of_two_nonces_neither_counts(gateway: Gateway) -> None:
    state, cookie = await connect(gateway)
    for cookies in (f"{cookie}; tokhub_oauth=planted", f"tokhub_oauth=planted; {cookie}"):
        assert (await come_back(gateway, cookies, state=state, code="c")).status_code == 400

    assert [one.browser_nonce for one in gateway.suite.connections.completions] == ["", ""]
    assert (await come_back(gateway, f"other=1; {cookie}", state=state, code="c")).status_code == 200


async def test_a_second_use_of_a_link_is_refused(gateway: Gateway) -> None:
    state, cookie = await connect(gateway)
    await come_back(gateway, cookie, state=state, code="c")

    answer = await come_back(gateway, cookie, state=state, code="c")

    assert answer.status_code == 400
    assert "was used already" in answer.text


async def test_another_browser_cannot_complete_the_link(gateway: Gateway) -> None:
    state, _ = await connect(gateway)

    assert (await come_back(gateway, state=state, code="c")).status_code == 400
    assert (await come_back(gateway, "tokhub_oauth=guess", state=state, code="c")).status_code == 400


async def test_a_wrong_connect_link_is_a_page(gateway: Gateway) -> None:
    unknown = await gateway.client.get("/connect/tiktok?store_code=nobody")
    missing = await gateway.client.get("/connect/tiktok")
    invalid = await gateway.client.get("/connect/tiktok", params={"store_code": XSS[0]})

    assert [one.status_code for one in (unknown, missing, invalid)] == [404, 400, 400]
    assert all("<h1>Connection failed</h1>" in one.text for one in (unknown, missing, invalid))
    assert not gateway.suite.connections.links


async def test_a_wrong_url_request_is_json(gateway: Gateway) -> None:
    unknown = await gateway.client.get("/auth/url?store_code=nobody")
    missing = await gateway.client.get("/auth/url")

    assert unknown.json()["error"]["code"] == "STORE_NOT_FOUND"
    assert missing.status_code == 400
    assert missing.json()["error"]["message"].startswith("store_code must be 1-50")


@pytest.mark.parametrize("payload", XSS)
async def test_nothing_of_the_request_reaches_a_page(gateway: Gateway, payload: str) -> None:
    plain = elements((await gateway.client.get(CALLBACK)).text)
    for name in ("state", "code", "error", "error_description", "store_code", "scopes"):
        for path in (CALLBACK, "/connect/tiktok"):
            answer = await gateway.client.get(path, params={"state": "s", name: payload})

            assert answer.status_code == 400
            assert "alert(1)" not in answer.text
            assert elements(answer.text) == plain


@pytest.mark.parametrize("payload", XSS)
def test_an_owner_id_is_text_whatever_it_holds(payload: str) -> None:
    owner = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=payload)
    plain = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id="a")
    pages = Pages()

    html = bytes(pages.connected(owner).body).decode()

    assert elements(html) == elements(bytes(pages.connected(plain).body).decode())


async def test_codes_and_states_never_reach_a_log(gateway: Gateway, capfd: pytest.CaptureFixture[str]) -> None:
    state, cookie = await connect(gateway)
    await come_back(gateway, cookie, state=state, code="CNRYcode*secret")
    await come_back(gateway, cookie, state="CNRYwrong", code="CNRYcode*other", error_description="CNRYdescription")
    await gateway.client.get(f"{CALLBACK}?state=CNRYa&state=CNRYb")

    logged = capfd.readouterr()
    assert CALLBACK in logged.out
    assert "CNRY" not in logged.out + logged.err


async def test_the_oauth_budget_is_a_page_for_people() -> None:
    async with serve_suite(Limits(oauth=3)) as gateway:
        gateway.suite.stores.add("a")
        for _ in range(3):
            await gateway.client.get("/auth/url?store_code=a")
        page = await gateway.client.get("/connect/tiktok?store_code=a")
        data = await gateway.client.get("/auth/url?store_code=a")

    assert [page.status_code, data.status_code] == [429, 429]
    assert "Too many attempts" in page.text
    assert f"Wait {page.headers['Retry-After']} seconds, then " in page.text
    assert data.json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"


async def test_a_callback_too_many_is_completed_when_it_is_loaded_again() -> None:
    async with serve_suite(Limits(oauth=2)) as gateway:
        state, cookie = await connect(gateway)
        await gateway.client.get("/auth/url?store_code=store_jakarta_01")
        refused = await come_back(gateway, cookie, state=state, code="c")
        gateway.clock.shift = int(refused.headers["Retry-After"])
        later = await come_back(gateway, cookie, state=state, code="c")

    assert (refused.status_code, later.status_code) == (429, 200)
    assert '<a href="">Try again</a>' in refused.text
    assert "Set-Cookie" not in refused.headers
    assert len(gateway.suite.connections.completions) == 1
