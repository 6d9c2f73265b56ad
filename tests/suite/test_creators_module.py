"""The module that other applications' pages load: in a browser, with a user's token, on a page of another origin."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Page, Route, expect

from tests.suite.browsing import UNLIMITED, Town, pick, town
from tests.suite.local_suite import free_ports

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Settings</title><link rel="icon" href="data:,">
<main><p id="told"></p><p id="states"></p></main>
<script type="module">
import { createTikTokIntegration } from "%(gateway)s/integrations/tiktok.js";
const getToken = () => fetch("/token").then((answer) => (answer.ok ? answer.text() : Promise.reject(answer.status)));
const userId = document.cookie.replace("user=", "");
const tiktok = createTikTokIntegration({ userId, getToken, redirectUri: location.origin + "/settings?tab=1" });
window.tiktok = tiktok;
window.states = [];
tiktok.subscribe((state) => {
  window.states.push(state);
  document.querySelector("#told").textContent = JSON.stringify(state);
});
await Promise.all([tiktok.completeConnection(), tiktok.completeConnection()]);
await tiktok.checkConnectionStatus();
document.querySelector("#states").textContent = "ready";
</script>
</html>"""


@dataclass
class Application:
    """Somebody's own application: it signs users in and has a page that loads the module."""

    here: Town
    origin: str
    token: str = ""

    async def page(self, user: str) -> Page:
        """Open the page as a user who is signed in."""
        self.token = self.here.home.user_headers(user)["Authorization"].removeprefix("Bearer ")
        somebody = await self.here.visitor()
        await somebody.context.add_cookies([{"name": "user", "value": user, "url": self.origin}])
        tab = await somebody.tab()
        await tab.goto(f"{self.origin}/settings?tab=1")
        return await ready(tab)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def application() -> AsyncIterator[Application]:
    (port,) = free_ports(1)
    origin = f"http://localhost:{port}"
    redirect = f"{origin}/settings?tab=1"
    settings = {"CORS_ORIGIN": origin, "TIKTOK_ALLOWED_REDIRECT_URIS": redirect, "SANDBOX_REDIRECT_URIS": redirect}
    async with town(**UNLIMITED, **settings) as here:
        application = Application(here, origin)
        runner = web.AppRunner(served_by(application))
        await runner.setup()
        await web.TCPSite(runner, "localhost", port).start()
        yield application
        await runner.cleanup()


def served_by(application: Application) -> web.Application:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=PAGE % {"gateway": application.here.home.gateway}, content_type="text/html")

    async def token(_request: web.Request) -> web.Response:
        return web.Response(text=application.token, status=200 if application.token else 401)

    app = web.Application()
    app.add_routes([web.get("/settings", page), web.get("/token", token)])
    return app


async def ready(page: Page) -> Page:
    await expect(page.locator("#states")).to_have_text("ready", timeout=30_000)
    return page


async def told(page: Page, name: str) -> object:
    """Return a part of the state."""
    return await page.evaluate("(name) => window.tiktok.getState()[name]", name)


async def act(page: Page, function: str) -> dict[str, Any]:
    """Call one of the functions and return the state that it led to."""
    state: dict[str, Any] = await page.evaluate("(name) => window.tiktok[name]()", function)
    return state


async def connect(page: Page, account: str, button: str = "Authorize") -> Page:
    """Follow the user to TikTok's page and back."""
    await page.evaluate("void window.tiktok.connectTikTok()")
    await page.wait_for_url(lambda url: not url.startswith("http://localhost"))
    await pick(page, account)
    await page.get_by_role("button", name=button).click()
    await page.wait_for_url(lambda url: url.startswith("http://localhost"))
    return await ready(page)


async def test_a_creator_connects_syncs_and_leaves_from_another_page(application: Application) -> None:
    page, account = await application.page("creator_1"), application.here.account()
    assert (await told(page, "isConnected"), await told(page, "metrics")) == (False, None)

    await connect(page, account)
    assert (await told(page, "isConnected"), page.url) == (True, f"{application.origin}/settings?tab=1")
    synced = await act(page, "refreshConnection")
    assert (synced["error"], synced["loading"], synced["connectionStatus"]["username"]) == (None, False, account)
    assert isinstance(synced["metrics"]["followerCount"], int)
    await ready(await reloaded(page))
    assert await told(page, "metrics") == synced["metrics"]

    gone = await act(page, "disconnectTikTok")
    assert (gone["isConnected"], gone["metrics"], gone["error"]) == (False, None, None)
    assert (await act(page, "refreshConnection"))["errorCode"] == "REAUTH_REQUIRED"


async def reloaded(page: Page) -> Page:
    await page.reload()
    return page


async def test_who_denies_is_told_and_may_connect_again(application: Application) -> None:
    page = await application.page("creator_2")

    await connect(page, application.here.account(), "Deny")
    errors = await page.evaluate("window.states.map((state) => state.errorCode)")
    assert "AUTHORIZATION_DENIED" in errors
    assert (await told(page, "isConnected"), "error" in page.url) == (False, False)

    await connect(page, application.here.account())
    assert await told(page, "isConnected") is True


async def test_a_token_is_asked_for_before_every_call(application: Application) -> None:
    page = await application.page("creator_3")
    secret = (application.here.home.state / "secrets" / "USER_JWT_SECRET").read_text()
    application.token = jwt.encode({"sub": "creator_3", "exp": 1}, secret)
    assert (await act(page, "checkConnectionStatus"))["errorCode"] == "UNAUTHORIZED"

    application.token = application.here.home.user_headers("creator_4")["Authorization"].removeprefix("Bearer ")
    assert (await act(page, "checkConnectionStatus"))["errorCode"] == "FORBIDDEN"

    application.token = ""
    assert (await act(page, "checkConnectionStatus"))["error"] == "Your application gave no token: sign in again"

    application.token = application.here.home.user_headers("creator_3")["Authorization"].removeprefix("Bearer ")
    last = await act(page, "checkConnectionStatus")
    assert (last["error"], last["errorCode"], last["loading"]) == (None, None, False)


async def test_an_older_answer_never_covers_a_newer_one(application: Application) -> None:
    page = await application.page("creator_5")
    held = asyncio.Event()

    async def slow(route: Route) -> None:
        await held.wait()
        await route.fulfill(
            json={"isConnected": False, "username": "stale"},
            headers={"Access-Control-Allow-Origin": application.origin},
        )

    await page.route("**/status/creator_5", slow, times=1)
    await page.evaluate("void (window.first = window.tiktok.checkConnectionStatus())")
    newer = await act(page, "checkConnectionStatus")
    held.set()
    await page.evaluate("window.first")

    assert (newer["errorCode"], newer["loading"]) == (None, True)
    assert await told(page, "loading") is False
    assert await told(page, "connectionStatus") == newer["connectionStatus"]


async def test_an_unreachable_gateway_and_foreign_parameters_do_no_harm(application: Application) -> None:
    page = await application.page("creator_6")
    await page.goto(f"{application.origin}/settings?tab=1&code=of-another-login&state=x")
    await ready(page)
    assert "code=of-another-login" in page.url

    await page.route("**/status/creator_6", lambda route: route.abort())
    state = await act(page, "checkConnectionStatus")
    assert (state["errorCode"], state["loading"]) == ("UNREACHABLE", False)
