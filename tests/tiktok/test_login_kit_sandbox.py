from collections.abc import AsyncIterator

import pytest

from libs.secret import Secret
from libs.tiktok.login_kit import App, LoginKit, authorize_url
from libs.tiktok.transport import Transport
from tests.fixtures_sandbox import SandboxProcess

SCOPES = ("user.info.basic", "user.info.profile", "user.info.stats", "video.list")


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
async def login_kit(app: App) -> AsyncIterator[LoginKit]:
    async with Transport(keep_alive=False) as transport:
        yield LoginKit(app=app, transport=transport, deadline=10)


async def test_a_code_becomes_tokens_of_its_account(sandbox: SandboxProcess, app: App, login_kit: LoginKit) -> None:
    account = sandbox.next_account()
    url = authorize_url(app, scopes=SCOPES, state="st-1", verifier=None)
    callback = sandbox.consent(url, account)
    assert callback["state"] == "st-1"
    tokens = await login_kit.exchange(Secret(callback["code"]), None)
    assert tokens.account_id == sandbox.open_id(account)
    assert tokens.scopes == SCOPES
