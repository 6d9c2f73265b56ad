import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from tokhub.sync.v1 import account_pb2

from libs.secret import Secret
from services.gateway.user_tokens import NoUsers, SharedSecret, UserTokens
from tests.gateway.raw_http import exchange, request
from tests.gateway.served import ADMIN, READ, TOKENS, USER_SECRET, Gateway, Limits, bearer, serve_suite

MINE = "/api/v1/integrations/tiktok/metrics/u-1"
LONG_AGO, FAR_AWAY = 1_000_000_000, 4_000_000_000
ANOTHER_SECRET = "another-secret-0123456789-0123456789"


@pytest.fixture(autouse=True)
def creator(gateway: Gateway) -> None:
    gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics()


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(algorithm: str) -> str:
    return f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{segment({'sub': 'u-1', 'exp': FAR_AWAY})}."


async def test_a_user_reaches_what_is_their_own(gateway: Gateway) -> None:
    assert (await gateway.client.get(MINE, headers=bearer("u-1"))).status_code == 200


async def test_a_user_reaches_nothing_of_another(gateway: Gateway) -> None:
    answer = await gateway.client.get(MINE, headers=bearer("u-2"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")


async def test_a_user_reaches_no_operators_route(gateway: Gateway) -> None:
    answer = await gateway.client.get("/admin/stores", headers=bearer())

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")


NOT_GOOD: tuple[dict[str, Any], ...] = (
    {"exp": LONG_AGO},
    {"exp": None},
    {"nbf": FAR_AWAY},
    {"sub": None},
    {"sub": ""},
    {"sub": "u-1\n"},
    {"sub": "u" * 65},
    {"sub": 1},
    {"sub": ["u-1"]},
    {"aud": "another-api"},
)


@pytest.fixture
async def patient() -> AsyncIterator[Gateway]:
    """A gateway that locks nobody out."""
    async with serve_suite(Limits(max_failures=1_000)) as gateway:
        gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics()
        yield gateway


async def test_a_token_that_is_not_good_is_refused(patient: Gateway) -> None:
    good = {"sub": "u-1", "exp": FAR_AWAY}
    assert (await patient.client.get(MINE, headers=signed(good))).status_code == 200
    for claims in NOT_GOOD:
        answer = await patient.client.get(MINE, headers=signed({**good, **claims}))
        assert (answer.status_code, answer.headers.get("WWW-Authenticate")) == (401, "Bearer"), claims


def signed(claims: dict[str, Any], algorithm: str = "HS256") -> dict[str, str]:
    """A header whose claims no library would sign."""
    head = segment({"alg": algorithm, "typ": "JWT"})
    said = segment({name: value for name, value in claims.items() if value is not None})
    signature = jwt.get_algorithm_by_name(algorithm).sign(f"{head}.{said}".encode(), USER_SECRET.encode())
    return {"Authorization": f"Bearer {head}.{said}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"}


async def test_a_token_ends_to_the_second(gateway: Gateway) -> None:
    assert (await gateway.client.get(MINE, headers=bearer(exp=int(time.time())))).status_code == 401


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_another_algorithm_with_the_right_secret_is_refused(algorithm: str) -> None:
    secret = USER_SECRET + USER_SECRET
    token = jwt.encode({"sub": "u-1", "exp": FAR_AWAY}, secret, algorithm)
    tokens = UserTokens(keys=SharedSecret(Secret(secret)))

    async with serve_suite(Limits(tokens=tokens)) as other:
        assert (await other.client.get(MINE, headers={"Authorization": f"Bearer {token}"})).status_code == 401


NO_TOKENS = (
    f"Bearer {unsigned('none')}",
    f"Bearer {unsigned('None')}",
    f"Bearer {unsigned('HS256')}",
    f"Bearer {segment({'alg': 'HS256'})}",
    "Bearer",
    "Bearer a.b.c",
    "Basic dTpw",
    "Bearer " + "x" * 10_000,
    f"Bearer {base64.urlsafe_b64encode(b'[' * 5_000).decode().rstrip('=')}.e30.eA",
    f"Bearer {segment({'alg': ['HS256']})}.e30.eA",
    f"Bearer {segment({'alg': 'HS256', 'kid': 7})}.e30.eA",
    bearer(secret=ANOTHER_SECRET)["Authorization"],
)


async def test_what_is_no_token_is_refused(patient: Gateway) -> None:
    for value in NO_TOKENS:
        answer = await patient.client.get(MINE, headers={"Authorization": value})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED"), value


async def test_issuer_and_audience_are_asked_for_when_they_are_set() -> None:
    tokens = UserTokens(keys=TOKENS.keys, issuer="https://login.example", audience="tokhub")
    right: dict[str, Any] = {"iss": "https://login.example", "aud": "tokhub"}
    variants = [right, {**right, "iss": "https://evil.example"}, {**right, "aud": "x"}, {"iss": right["iss"]}, {}]

    async with serve_suite(Limits(tokens=tokens)) as gateway:
        gateway.suite.stats.creators["u-1"] = account_pb2.AccountMetrics()
        answers = [await gateway.client.get(MINE, headers=bearer(**said)) for said in variants]

    assert [answer.status_code for answer in answers] == [200, 401, 401, 401, 401]


async def test_without_a_setting_no_user_is_known() -> None:
    async with serve_suite(Limits(tokens=NoUsers())) as gateway:
        answer = await gateway.client.get(MINE, headers=bearer())

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert "USER_JWT_SECRET" in answer.json()["error"]["message"]


async def test_wrong_tokens_lock_an_address_out_of_everything(gateway: Gateway) -> None:
    guesses = [await gateway.client.get(MINE, headers=bearer(secret=ANOTHER_SECRET)) for _ in range(6)]
    right = await gateway.client.get("/admin/stores", headers=ADMIN)

    assert [answer.status_code for answer in guesses] == [401] * 5 + [429]
    assert (right.status_code, right.json()["error"]["code"]) == (429, "LOCKED_OUT")


async def test_expired_tokens_lock_nobody_out(gateway: Gateway) -> None:
    old = [await gateway.client.get(MINE, headers=bearer(exp=LONG_AGO)) for _ in range(6)]
    fresh = await gateway.client.get(MINE, headers=bearer())

    assert [(answer.status_code, answer.headers["WWW-Authenticate"]) for answer in old] == [(401, "Bearer")] * 6
    assert {answer.json()["error"]["message"] for answer in old} == {"Missing or invalid token: sign in again"}
    assert fresh.status_code == 200


@pytest.mark.parametrize(
    "wrong", [{"secret": ANOTHER_SECRET}, {"aud": "another-api"}, {"user": "u-1\n"}, {"nbf": FAR_AWAY}]
)
async def test_expired_tokens_that_are_wrong_besides_count(gateway: Gateway, wrong: dict[str, Any]) -> None:
    for _ in range(5):
        await gateway.client.get(MINE, headers=bearer(exp=LONG_AGO, **wrong))

    assert (await gateway.client.get(MINE, headers=bearer())).status_code == 429


@pytest.mark.parametrize("path", [MINE, "/api/v1/tiktok/auth/status"])
async def test_a_key_and_a_token_are_one_too_many(gateway: Gateway, path: str) -> None:
    answer = await gateway.client.get(path, headers=bearer() | READ)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_key_alone_opens_no_route_of_users(gateway: Gateway) -> None:
    answer = await gateway.client.get("/api/v1/tiktok/auth/status", headers=ADMIN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")


async def test_two_tokens_are_one_too_many(gateway: Gateway) -> None:
    token = f"Authorization: {bearer()['Authorization']}"

    answer = await exchange(gateway.port, request("GET", MINE, token, token))

    assert (answer.status, answer.json()["error"]["message"]) == (400, "Authorization must be sent once")


@pytest.mark.parametrize("name", ["access_token", "token", "jwt"])
async def test_a_token_in_the_address_is_refused(gateway: Gateway, name: str) -> None:
    token = bearer()["Authorization"].removeprefix("Bearer ")

    answer = await gateway.client.get(MINE, params={name: token}, headers=bearer())

    assert answer.status_code == 400
    assert token not in answer.text


async def test_no_log_line_shows_a_token(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    headers = [bearer(), bearer(secret=ANOTHER_SECRET), bearer("u-2")]

    for one in headers:
        await gateway.client.get(MINE, headers=one)

    said = "".join(capsys.readouterr())
    assert "request" in said
    assert not [one for one in headers if one["Authorization"].split(".")[2] in said]
