import hashlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from libs.secret import Secret
from libs.tiktok.login_kit import (
    MAX_SECONDS,
    App,
    authorize_url,
    pkce_challenge,
    read_tokens,
)
from libs.tiktok.token_answers import (
    MAX_REFRESH_CHARS,
    MAX_SCOPES,
    MAX_TOKEN_CHARS,
    AppRefused,
    Garbled,
    Page,
    Refused,
    Unusable,
)
from libs.tiktok.transport import Answer

APP = App(
    client_key="awkey",
    client_secret=Secret("CNRYsecret"),
    redirect_uri="https://example.com/auth/tiktok/callback",
    authorize_url="https://www.tiktok.com/v2/auth/authorize/",
    api_origin="https://open.tiktokapis.com",
)
WHOLE = {
    "access_token": "act.1*!",
    "expires_in": 7200,
    "open_id": "723f24d7",
    "refresh_expires_in": 15_552_000,
    "refresh_token": "rft.1*!",
    "scope": "user.info.basic,video.list",
    "token_type": "Bearer",
}
NOT_A_NUMBER = float("nan")


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=raw)


def changed(**changes: Any) -> Answer:
    return answer({**WHOLE, **changes})


def without(name: str) -> Answer:
    return answer({key: value for key, value in WHOLE.items() if key != name})


def test_a_whole_answer_is_read_whole() -> None:
    tokens = read_tokens(answer(WHOLE))
    assert (tokens.access_token, tokens.access_seconds) == (Secret("act.1*!"), 7200)
    assert (tokens.refresh_token, tokens.refresh_seconds) == (Secret("rft.1*!"), 15_552_000)
    assert (tokens.account_id, tokens.scopes) == ("723f24d7", ("user.info.basic", "video.list"))


@pytest.mark.parametrize(
    "beside",
    [b'"expires_in": ' + b"9" * 5_000, b'"open_id": "\xff\xfe"', b'"scope": "\xc3("'],
    ids=["digits", "id", "scope"],
)
def test_nonsense_beside_the_tokens_costs_no_token(beside: bytes) -> None:
    body = b'{"access_token": "act.1*!", "refresh_token": "rft.1*!", ' + beside + b"}"
    tokens = read_tokens(answer(body))
    assert (tokens.access_token, tokens.refresh_token) == (Secret("act.1*!"), Secret("rft.1*!"))


def test_a_refresh_token_of_damaged_bytes_is_told() -> None:
    tokens = read_tokens(answer(b'{"access_token": "act.1*!", "refresh_token": "rft.\xff"}'))
    assert (tokens.refresh_token, tokens.refresh_garbled) == (None, True)


def test_a_repr_of_tokens_shows_none() -> None:
    assert not {"act.1*!", "rft.1*!"} & set(repr(read_tokens(answer(WHOLE))).split("'"))


@pytest.mark.parametrize(
    ("missing", "field", "value"),
    [
        ("expires_in", "access_seconds", None),
        ("open_id", "account_id", ""),
        ("refresh_expires_in", "refresh_seconds", None),
        ("refresh_token", "refresh_token", None),
        ("scope", "scopes", ()),
    ],
)
def test_what_is_missing_around_the_token_is_no_error(missing: str, field: str, value: object) -> None:
    assert getattr(read_tokens(without(missing)), field) == value


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (7200, 7200),
        ("7200", 7200),
        (7200.9, 7200),
        (0, None),
        (-5, None),
        (True, None),
        (1e308, MAX_SECONDS),
        (10**400, MAX_SECONDS),
        (float("inf"), None),
        (NOT_A_NUMBER, None),
        ("soon", None),
        ("", None),
        ("9" * 5_000, None),
        ([7200], None),
        ({}, None),
        (None, None),
    ],
)
def test_a_lifetime_is_seconds_or_unknown(given: object, read: int | None) -> None:
    assert read_tokens(changed(refresh_expires_in=given)).refresh_seconds == read


MISSING_TOKENS = [None, "", " \t\n"]
NO_TEXTS = [7, [], {}, True, "\ud800"]
NO_HEADERS = ["x" * (MAX_TOKEN_CHARS + 1), "a b", "a\nb", "a\0b", "ü"]


@pytest.mark.parametrize("given", MISSING_TOKENS + NO_TEXTS + NO_HEADERS, ids=lambda given: repr(given)[:12])
def test_the_refresh_token_is_kept_without_an_access_token(given: object) -> None:
    tokens = read_tokens(changed(access_token=given))
    assert (tokens.access_token, tokens.refresh_token) == (None, Secret("rft.1*!"))


@pytest.mark.parametrize("given", MISSING_TOKENS, ids=repr)
def test_a_missing_refresh_token_is_no_loss(given: object) -> None:
    tokens = read_tokens(changed(refresh_token=given))
    assert (tokens.refresh_token, tokens.refresh_garbled) == (None, False)


@pytest.mark.parametrize("given", [*NO_TEXTS, "x" * (MAX_REFRESH_CHARS + 1)], ids=lambda given: repr(given)[:12])
def test_a_refresh_token_that_cannot_be_read_is_told(given: object) -> None:
    tokens = read_tokens(changed(refresh_token=given))
    assert (tokens.refresh_token, tokens.refresh_garbled) == (None, True)


@pytest.mark.parametrize("given", NO_HEADERS, ids=lambda given: repr(given)[:12])
def test_a_refresh_token_of_any_text_is_kept(given: str) -> None:
    assert read_tokens(changed(refresh_token=given)).refresh_token == Secret(given)


def test_an_answer_without_any_token_may_have_spent_one() -> None:
    with pytest.raises(Garbled):
        read_tokens(answer({"expires_in": 7200}))


def test_scopes_are_told_once_and_not_without_end() -> None:
    assert read_tokens(changed(scope="a,b,a")).scopes == ("a", "b")
    assert len(read_tokens(changed(scope=",".join(str(number) for number in range(100_000)))).scopes) == MAX_SCOPES


def test_space_around_a_token_is_not_part_of_it() -> None:
    assert read_tokens(changed(access_token=" act.1\r\n")).access_token == Secret("act.1")


@pytest.mark.parametrize("given", [7, [], ["723f24d7"], {"id": "x"}, None, "\ud800", "a\0b", "x" * 5_000])
def test_an_account_that_is_no_plain_text_is_unknown(given: object) -> None:
    assert read_tokens(changed(open_id=given)).account_id == ""


@pytest.mark.parametrize(
    ("given", "scopes"),
    [
        ("video.list", ("video.list",)),
        (" user.info.basic , video.list ,,", ("user.info.basic", "video.list")),
        ("", ()),
        (["video.list"], ()),
        ({"video.list": True}, ()),
        (7, ()),
        ("\ud800,video.list", ("video.list",)),
    ],
)
def test_scopes_are_a_list_in_commas(given: object, scopes: tuple[str, ...]) -> None:
    assert read_tokens(changed(scope=given)).scopes == scopes


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize("word", ["invalid_grant", "invalid_request", "access_denied", "a_word_nobody_knows"])
def test_an_error_word_refuses_whatever_the_status(word: str, status: int) -> None:
    with pytest.raises(Refused) as refusal:
        read_tokens(answer({"error": word, "error_description": "It is expired.", **WHOLE}, status))
    assert refusal.value.word == word


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("word", ["invalid_client", "unauthorized_client", "invalid_scope", "unsupported_grant_type"])
def test_some_words_blame_the_app(word: str, status: int) -> None:
    with pytest.raises(AppRefused):
        read_tokens(answer({"error": word}, status))


@pytest.mark.parametrize("status", [200, 429, 503])
@pytest.mark.parametrize("word", ["server_error", "temporarily_unavailable", "rate_limit_exceeded"])
def test_some_words_blame_nobody(word: str, status: int) -> None:
    with pytest.raises(Unusable):
        read_tokens(answer({"error": word}, status))


UNREADABLE = {
    "empty": b"",
    "list": [WHOLE],
    "text": "act.1",
    "null": None,
    "deep nesting": b'{"access_token":' + b"[" * 200_000,
    "not utf-8": b'{"access_token":"\xff"}',
    "half": json.dumps(WHOLE).encode()[:40],
    "wrapped as of old": {"data": WHOLE, "message": "success"},
    "nothing": {},
}


@pytest.mark.parametrize("status", [301, 404, 429, 502])
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_failure_is_unusable(body: Any, status: int) -> None:
    with pytest.raises(Unusable) as unusable:
        read_tokens(answer(body, status, retry_after="7"))
    assert (unusable.value.status, unusable.value.retry_after) == (status, "7")


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_success_may_have_spent_the_token(body: Any) -> None:
    with pytest.raises(Garbled):
        read_tokens(answer(body))


@pytest.mark.parametrize("error", [7, 1e308, True, ["x"], {}, {"code": "ok", "message": ""}, "ok"], ids=repr)
def test_what_says_no_error_costs_no_token(error: Any) -> None:
    assert read_tokens(changed(error=error)).refresh_token == Secret("rft.1*!")


def test_an_error_of_another_product_is_unusable() -> None:
    with pytest.raises(Unusable):
        read_tokens(answer({**WHOLE, "error": {"code": "internal_error"}}))


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_page_says_nothing_about_the_token(kind: str) -> None:
    with pytest.raises(Page):
        read_tokens(answer(b"\n<!DOCTYPE html><html>captcha</html>", content_type=kind))


@pytest.mark.parametrize("status", [301, 403, 429, 500])
def test_tokens_are_kept_whatever_the_status(status: int) -> None:
    assert read_tokens(answer(WHOLE, status)).refresh_token == Secret("rft.1*!")


def test_a_refusal_names_the_word_and_not_the_description() -> None:
    with pytest.raises(Refused) as refusal:
        read_tokens(answer({"error": "x" * 999, "error_description": "token rft.CNRY is expired"}))
    assert "CNRY" not in str(refusal.value)
    assert len(refusal.value.word) == 64


def test_a_challenge_is_lower_case_hex() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert pkce_challenge(verifier) == "13d31e961a1ad8ec2f16b10c4c982e0876a878ad6df144566ee1894acb70f9c3"


def test_the_consent_address_has_exactly_these_parameters() -> None:
    url = authorize_url(APP, scopes=("user.info.basic", "video.list"), state="st-1", verifier=None)
    assert url.startswith("https://www.tiktok.com/v2/auth/authorize/?")
    assert parse_qsl(urlsplit(url).query, strict_parsing=True) == [
        ("client_key", "awkey"),
        ("response_type", "code"),
        ("scope", "user.info.basic,video.list"),
        ("redirect_uri", "https://example.com/auth/tiktok/callback"),
        ("state", "st-1"),
        ("disable_auto_auth", "1"),
    ]


def test_a_verifier_adds_its_challenge_and_stays_here() -> None:
    verifier = "v" * 43
    url = authorize_url(APP, scopes=("video.list",), state="st-1", verifier=verifier)
    query = dict(parse_qsl(urlsplit(url).query))
    assert query["code_challenge"] == hashlib.sha256(verifier.encode()).hexdigest()
    assert query["code_challenge_method"] == "S256"
    assert verifier not in url
    assert "CNRY" not in url
