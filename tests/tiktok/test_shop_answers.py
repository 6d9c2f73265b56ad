import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from libs.clock import SystemClock
from libs.secret import Secret
from libs.tiktok.outcomes import NoAnswer
from libs.tiktok.shop import LARGEST, ShopApp, ShopClient, authorize_url, read_shops, read_tokens
from libs.tiktok.token_answers import AppRefused, Garbled, Refused, Unusable
from libs.tiktok.transport import Answer, Transport
from tests.tiktok.raw_server import answering, serve_raw, writing

WHOLE = {
    "access_token": "TTP_access",
    "access_token_expire_in": 1_660_556_783,
    "refresh_token": "TTP_refresh",
    "refresh_token_expire_in": 4_841_467_787,
    "open_id": "7010736057180325637",
    "seller_name": None,
    "user_type": 0,
    "granted_scopes": ["seller.authorization.info", "ünfit scope", 7],
}
TOKEN_HEADER = "Invalid credentials. The `x-tts-access-token` header is invalid."
WRONG_KEY = "Invalid credentials. Invalid `app_key` query parameter."
CLOCK = "Invalid timestamp. The `timestamp` must not be earlier than 5 minutes before the current time."
ADDRESS = "Access denied. Your IP address is not in the IP allow list configured for this app."


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=raw)


def refusing(code: Any, message: str = "", status: int = 200) -> Answer:
    return answer({"code": code, "message": message, "data": None}, status)


def shop_app(url: str) -> ShopApp:
    return ShopApp(
        app_key="key-1",
        app_secret=Secret("CNRYsecret"),
        service_id="74",
        authorize_url=f"{url}/open/authorize",
        token_origin=url,
        api_origin=url,
    )


def test_a_whole_answer_is_read_with_its_ends_as_given() -> None:
    tokens = read_tokens(answer({"code": 0, "message": "success", "data": WHOLE}))
    assert (tokens.access_token, tokens.access_ends) == (Secret("TTP_access"), 1_660_556_783)
    assert (tokens.refresh_token, tokens.refresh_ends) == (Secret("TTP_refresh"), 4_841_467_787)
    assert (tokens.open_id, tokens.scopes) == ("7010736057180325637", ("seller.authorization.info",))


@pytest.mark.parametrize(
    ("given", "read"), [(None, None), ("soon", None), (float("inf"), None), (-1, 0), (10**30, LARGEST), ("17", 17)]
)
def test_an_end_is_unix_seconds_or_unknown(given: object, read: int | None) -> None:
    data = WHOLE | {"refresh_token_expire_in": given}
    assert read_tokens(answer({"code": 0, "data": data})).refresh_ends == read


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (36004004, "invalid auth code"),
        (36004005, "can not find related auth record"),
        (36009004, TOKEN_HEADER),
        (105002, "Expired credentials. The `access_token` or `x-tts-access-token` header has expired."),
    ],
)
def test_some_codes_refuse_the_token(code: int, message: str, status: int) -> None:
    with pytest.raises(Refused) as refusal:
        read_tokens(refusing(code, message, status))
    assert refusal.value.word == str(code)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (36009033, ADDRESS),
        (36009099, ADDRESS),
        (98001004, "Parameter app_secret is invalid. Reason: it does not belong to an app."),
        (36009004, WRONG_KEY),
        (36004004, "invalid app_key or app_secret"),
        (36009004, CLOCK),
        (106001, "Invalid credentials. The `sign` query parameter is invalid."),
    ],
)
def test_some_codes_and_messages_blame_the_app(code: int, message: str) -> None:
    with pytest.raises(AppRefused):
        read_tokens(refusing(code, message))


@pytest.mark.parametrize(
    "given",
    [
        refusing(36009003, "Internal error. Please try again."),
        refusing(12345678, "of tomorrow"),
        answer(b"404 page not found", 404),
        answer(b"<html>Bad gateway</html>", 502),
        answer([WHOLE], 500),
    ],
    ids=range(5),
)
def test_anything_else_says_nothing_about_the_account(given: Answer) -> None:
    with pytest.raises(Unusable) as unusable:
        read_tokens(given)
    assert unusable.value.status == given.status


@pytest.mark.parametrize(
    "given",
    [
        refusing("0"),
        refusing(None),
        refusing(True),
        answer({"code": 0, "data": {}}),
        answer([WHOLE]),
        answer(b""),
        answer(b'{"code": 0, "data": {"refr'),
    ],
    ids=range(7),
)
def test_a_success_without_tokens_may_have_spent_one(given: Answer) -> None:
    with pytest.raises(Garbled):
        read_tokens(given)


@pytest.mark.parametrize("code", [None, "0", "success", True, 0.0, [0]])
def test_tokens_are_kept_whatever_their_code_is_written_like(code: Any) -> None:
    assert read_tokens(answer({"code": code, "data": WHOLE})).refresh_token == Secret("TTP_refresh")


@pytest.mark.parametrize("code", ["36004005", 36004005.0])
def test_a_code_written_otherwise_refuses_too(code: Any) -> None:
    with pytest.raises(Refused):
        read_tokens(refusing(code))


@pytest.mark.parametrize(("code", "status"), [(36009002, 200), (36009002, 429), (1, 429)])
def test_too_many_requests_are_told_as_429(code: int, status: int) -> None:
    with pytest.raises(Unusable) as unusable:
        read_tokens(refusing(code, "Too many requests.", status))
    assert unusable.value.status == 429


def test_shops_without_an_id_or_a_cipher_are_left_out() -> None:
    shops = [
        {"id": "7000714532876273420", "name": "Maomao 美容", "region": "GB", "seller_type": "LOCAL", "cipher": "GCP_1"},
        {"id": "7000714532876273421", "name": "no cipher"},
        "no shop",
    ]
    found = read_shops(answer({"code": 0, "data": {"shops": shops}}))
    assert [(shop.id, shop.cipher, shop.name) for shop in found] == [("7000714532876273420", "GCP_1", "Maomao 美容")]


def test_the_consent_page_is_asked_for_service_and_state_only() -> None:
    query = parse_qsl(urlsplit(authorize_url(shop_app("https://x.example"), "st ate")).query)
    assert query == [("service_id", "74"), ("state", "st ate")]


async def test_a_token_call_that_breaks_is_sent_once_and_tells_no_secret() -> None:
    async with serve_raw(writing(b"")) as raw, Transport(keep_alive=False) as transport:
        url = raw.url.removesuffix("/v2/oauth/token/")
        client = ShopClient(app=shop_app(url), transport=transport, clock=SystemClock(), deadline=5)
        with pytest.raises(NoAnswer) as failure:
            await client.refresh(Secret("CNRYrefresh"))
        assert len(raw.heads) == 1
    assert "CNRY" not in repr(failure.value) + repr(failure.value.__context__)


async def test_a_refresh_is_a_get_with_everything_in_its_query() -> None:
    body = json.dumps({"code": 0, "data": WHOLE}).encode()
    async with serve_raw(answering(body)) as raw, Transport(keep_alive=False) as transport:
        url = raw.url.removesuffix("/v2/oauth/token/")
        client = ShopClient(app=shop_app(url), transport=transport, clock=SystemClock(), deadline=5)
        await client.refresh(Secret("a+b/c="))
    method, target, _ = raw.heads[0].splitlines()[0].split(" ")
    assert (method, urlsplit(target).path) == ("GET", "/api/v2/token/refresh")
    assert dict(parse_qsl(urlsplit(target).query)) == {
        "app_key": "key-1",
        "app_secret": "CNRYsecret",
        "refresh_token": "a+b/c=",
        "grant_type": "refresh_token",
    }
