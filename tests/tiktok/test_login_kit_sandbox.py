from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from libs.secret import Secret
from libs.tiktok.login_kit import App, LoginKit, Tokens, authorize_url
from libs.tiktok.outcomes import NoAnswer
from libs.tiktok.token_answers import AppRefused, Refused, Unusable
from libs.tiktok.transport import Transport
from tests.fixtures_sandbox import SandboxProcess

SCOPES = ("user.info.basic", "user.info.profile", "user.info.stats", "video.list")
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


class Person:
    """An account of this test, whose owner agrees to everything but what is named."""

    def __init__(self, sandbox: SandboxProcess, app: App) -> None:
        self.sandbox = sandbox
        self.app = app
        self.account = sandbox.next_account()

    def agree(self, *, verifier: str | None = VERIFIER, without: tuple[str, ...] = ()) -> Secret:
        url = authorize_url(self.app, scopes=SCOPES, state="st-1", verifier=verifier)
        callback = self.sandbox.consent(url, self.account, without=without)
        assert callback["state"] == "st-1"
        return Secret(callback["code"])

    async def connect(self, login_kit: LoginKit) -> Tokens:
        return await login_kit.exchange(self.agree(), VERIFIER)


@pytest.fixture
def app(sandbox: SandboxProcess) -> App:
    return App(
        client_key=sandbox.client_key,
        client_secret=Secret(sandbox.client_secret),
        redirect_uri=sandbox.redirect_uri,
        authorize_url=sandbox.authorize_url,
        api_origin=sandbox.url,
    )


@pytest.fixture
def person(sandbox: SandboxProcess, app: App) -> Person:
    return Person(sandbox, app)


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(keep_alive=False) as transport:
        yield transport


@pytest.fixture
def login_kit(app: App, transport: Transport) -> LoginKit:
    return LoginKit(app=app, transport=transport, deadline=10)


def rotated(tokens: Tokens) -> Secret:
    assert tokens.refresh_token
    return tokens.refresh_token


async def test_a_code_becomes_tokens_of_its_account(person: Person, login_kit: LoginKit) -> None:
    code = person.agree()
    assert {"*", "!"} <= set(code.reveal())
    tokens = await login_kit.exchange(code, VERIFIER)
    assert (tokens.account_id, tokens.scopes) == (person.sandbox.open_id(person.account), SCOPES)
    assert (tokens.access_seconds, tokens.refresh_seconds) == (7_200, 15_552_000)
    assert rotated(tokens).reveal().startswith("rft.")


async def test_a_web_app_needs_no_verifier(person: Person, login_kit: LoginKit) -> None:
    code = person.agree(verifier=None)
    assert (await login_kit.exchange(code, None)).scopes == SCOPES


async def test_only_granted_scopes_come_back(person: Person, login_kit: LoginKit) -> None:
    code = person.agree(without=("video.list", "user.info.profile"))
    assert (await login_kit.exchange(code, VERIFIER)).scopes == ("user.info.basic", "user.info.stats")


@pytest.mark.parametrize("verifier", ["w" * 43, None])
async def test_a_wrong_verifier_is_refused(person: Person, login_kit: LoginKit, verifier: str | None) -> None:
    with pytest.raises(Refused, match="invalid_request"):
        await login_kit.exchange(person.agree(), verifier)


async def test_a_code_is_spent_once(person: Person, login_kit: LoginKit) -> None:
    code = person.agree()
    await login_kit.exchange(code, VERIFIER)
    with pytest.raises(Refused, match="invalid_grant"):
        await login_kit.exchange(code, VERIFIER)


async def test_a_refresh_rotates_both_tokens(person: Person, login_kit: LoginKit) -> None:
    first = await person.connect(login_kit)
    second = await login_kit.refresh(rotated(first))
    assert rotated(second) != rotated(first)
    assert second.access_token != first.access_token
    assert second.account_id == first.account_id


async def test_a_dead_refresh_token_is_refused(person: Person, login_kit: LoginKit) -> None:
    first = await person.connect(login_kit)
    await login_kit.refresh(rotated(first))
    with pytest.raises(Refused) as refusal:
        await login_kit.refresh(rotated(first))
    assert refusal.value.word == "invalid_grant"


@pytest.mark.parametrize("status", ["200", "4xx"])
async def test_a_wrong_secret_blames_the_app(
    sandbox: SandboxProcess, app: App, transport: Transport, status: str
) -> None:
    stranger = LoginKit(app=replace(app, client_secret=Secret("wrong")), transport=transport, deadline=10)
    sandbox.control.patch("/sandbox/settings", json={"oauth_error_status": status}).raise_for_status()
    try:
        with pytest.raises(AppRefused, match="invalid_client"):
            await stranger.refresh(Secret("rft.any"))
    finally:
        sandbox.control.patch("/sandbox/settings", json={"oauth_error_status": "200"}).raise_for_status()


async def test_a_revoked_grant_cannot_be_refreshed(person: Person, login_kit: LoginKit) -> None:
    tokens = await person.connect(login_kit)
    assert tokens.access_token
    await login_kit.revoke(tokens.access_token)
    with pytest.raises(Refused, match="invalid_grant"):
        await login_kit.refresh(rotated(tokens))


async def test_revoking_an_unknown_token_is_refused(login_kit: LoginKit) -> None:
    with pytest.raises(Refused, match="invalid_"):
        await login_kit.revoke(Secret("act.unknown"))


@pytest.mark.parametrize("kind", ["429", "500", "503", "html"])
async def test_a_failing_tiktok_is_unusable_and_spends_nothing(person: Person, login_kit: LoginKit, kind: str) -> None:
    tokens = await person.connect(login_kit)
    person.sandbox.fault(kind, person.account, endpoint="token")
    with pytest.raises(Unusable):
        await login_kit.refresh(rotated(tokens))
    assert rotated(await login_kit.refresh(rotated(tokens))) != rotated(tokens)


@pytest.mark.parametrize("kind", ["answer_lost", "truncated"])
async def test_a_lost_answer_has_spent_the_token(person: Person, login_kit: LoginKit, kind: str) -> None:
    tokens = await person.connect(login_kit)
    person.sandbox.fault(kind, person.account, endpoint="token")
    with pytest.raises(NoAnswer):
        await login_kit.refresh(rotated(tokens))
    with pytest.raises(Refused, match="invalid_grant"):
        await login_kit.refresh(rotated(tokens))
