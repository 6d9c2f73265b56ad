import pytest

from tests.sandbox.visitor import KEY, SCOPES, SECRET, Visitor

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
HEX = "13d31e961a1ad8ec2f16b10c4c982e0876a878ad6df144566ee1894acb70f9c3"
BASE64URL = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
PKCE_FAILED = ("invalid_request", "Code verifier or code challenge is invalid.")


async def test_a_code_buys_a_flat_pair(visitor: Visitor) -> None:
    tokens = await visitor.connect(scopes=SCOPES[:2])
    account = (await visitor.client.get("/sandbox/accounts?limit=1")).json()["accounts"][0]
    assert tokens.pop("access_token").startswith("act.CNRY")
    assert tokens.pop("refresh_token").startswith("rft.CNRY")
    assert tokens == {
        "expires_in": 7200,
        "open_id": account["open_id"],
        "refresh_expires_in": 15552000,
        "scope": "user.info.basic,user.info.profile",
        "token_type": "Bearer",
    }


async def test_lifetimes_can_be_the_older_ones(visitor: Visitor) -> None:
    await visitor.switch(access_ttl_seconds=86400, refresh_ttl_seconds=31536000)
    tokens = await visitor.connect()
    assert (tokens["expires_in"], tokens["refresh_expires_in"]) == (86400, 31536000)


async def test_a_code_works_once(visitor: Visitor) -> None:
    code = await visitor.consent()
    assert "access_token" in await visitor.exchange(code)
    again = await visitor.exchange(code)
    assert (again["error"], again["error_description"]) == ("invalid_grant", "Authorization code is expired.")
    assert again["log_id"]
    assert (await visitor.ledger())["codes_presented_again"] == 1


async def test_a_code_lives_five_minutes(visitor: Visitor) -> None:
    early, late = await visitor.consent(), await visitor.consent()
    await visitor.advance(299)
    assert "access_token" in await visitor.exchange(early)
    await visitor.advance(2)
    assert (await visitor.exchange(late))["error"] == "invalid_grant"


async def test_a_code_encoded_twice_is_unknown(visitor: Visitor) -> None:
    code = await visitor.consent()
    twice = code.replace("*", "%2A").replace("!", "%21")
    assert (await visitor.exchange(twice))["error"] == "invalid_grant"


async def test_the_redirect_uri_must_be_the_same(visitor: Visitor) -> None:
    answer = await visitor.exchange(await visitor.consent(), redirect_uri="http://localhost:3000/auth/tiktok/callback")
    assert answer["error"] == "invalid_request"
    assert answer["error_description"] == "Redirect_uri is not matched with the uri when requesting code."


async def test_a_hex_challenge_is_checked(visitor: Visitor) -> None:
    code = await visitor.consent(code_challenge=HEX, code_challenge_method="S256")
    for wrong in ({}, {"code_verifier": VERIFIER[:-1] + "x"}, {"code_verifier": "short"}):
        answer = await visitor.exchange(code, **wrong)
        assert (answer["error"], answer["error_description"]) == PKCE_FAILED
    assert "access_token" in await visitor.exchange(code, code_verifier=VERIFIER)


@pytest.mark.parametrize(
    ("rule", "verifier", "passes"),
    [
        ("reject", VERIFIER, False),
        ("accept", VERIFIER, True),
        ("accept", VERIFIER + "x", False),
        ("ignore", "", True),
    ],
)
async def test_a_base64url_challenge_fails_only_at_exchange(
    visitor: Visitor, rule: str, verifier: str, passes: bool
) -> None:
    await visitor.switch(pkce_base64url=rule)
    code = await visitor.consent(code_challenge=BASE64URL, code_challenge_method="S256")
    assert ("access_token" in await visitor.exchange(code, code_verifier=verifier)) is passes


@pytest.mark.parametrize(("app_type", "passes"), [("web", True), ("desktop", False)])
async def test_a_base64url_challenge_passes_on_the_web_only(visitor: Visitor, app_type: str, passes: bool) -> None:
    await visitor.switch(app_type=app_type)
    code = await visitor.consent(code_challenge=BASE64URL, code_challenge_method="S256")
    assert ("access_token" in await visitor.exchange(code, code_verifier=VERIFIER)) is passes


async def test_an_upper_case_challenge_does_not_pass(visitor: Visitor) -> None:
    code = await visitor.consent(code_challenge=HEX.upper(), code_challenge_method="S256")
    assert (await visitor.exchange(code, code_verifier=VERIFIER))["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("form", "error", "description"),
    [
        ({"grant_type": ""}, "invalid_request", "The request parameters are malformed."),
        ({"grant_type": "authorized_code"}, "unsupported_grant_type", ""),
        ({"client_secret": "wrong"}, "invalid_client", "Client key or secret is incorrect."),
        ({"client_key": "wrong"}, "invalid_client", "Client key or secret is incorrect."),
        ({"client_secret": ""}, "invalid_request", "Client secret is missed in request."),
        ({"refresh_token": "rft.made-up"}, "invalid_grant", "Refresh token is invalid or expired."),
        ({"refresh_token": ""}, "invalid_request", "The request parameters are malformed."),
    ],
)
@pytest.mark.parametrize("mode", ["200", "4xx"])
async def test_errors_arrive_as_200_unless_switched(
    visitor: Visitor, form: dict[str, str], error: str, description: str, mode: str
) -> None:
    await visitor.switch(oauth_error_status=mode)
    answer = await visitor.token(**{"grant_type": "refresh_token", "refresh_token": "x", **form})
    body = answer.json()
    assert answer.status_code == (200 if mode == "200" else 401 if error == "invalid_client" else 400)
    assert body["error"] == error
    assert description in body["error_description"]


async def test_a_json_body_is_malformed(visitor: Visitor) -> None:
    body = {"client_key": KEY, "client_secret": SECRET, "grant_type": "client_credentials"}
    answer = await visitor.client.post("/v2/oauth/token/", json=body)
    assert answer.json()["error"] == "invalid_request"


async def test_the_token_path_needs_its_slash(visitor: Visitor) -> None:
    assert (await visitor.client.post("/v2/oauth/token")).status_code == 404


async def test_client_credentials_give_a_client_token(visitor: Visitor) -> None:
    answer = (await visitor.token(grant_type="client_credentials")).json()
    assert answer.pop("access_token").startswith("clt.CNRY")
    assert answer == {"expires_in": 7200, "token_type": "Bearer"}
