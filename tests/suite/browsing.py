"""People at browsers of a suite: each with a cookie jar, links to open, and TikTok's page to consent on."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from playwright.async_api import Browser, BrowserContext, Page, Playwright, Response, async_playwright

from libs.secret import Secret
from services.token.core.state import Keys
from tests.browsers import ARGUMENTS, chromium
from tests.suite.local_suite import SERVING, Home, directory, start

CALLBACK = "/auth/tiktok/callback"
UNLIMITED = dict.fromkeys(
    ("RATE_LIMIT_ADMIN_PER_MINUTE", "RATE_LIMIT_OAUTH_PER_MINUTE", "AUTH_MAX_FAILURES"), "1000000"
)
# What Chromium says of any answer above 399; everything else it says is a complaint.
STATUS_TOLD = "Failed to load resource: the server responded with a status of"


@dataclass
class Visitor:
    """One person's browser, and what its pages complained of or asked for."""

    context: BrowserContext
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def tab(self) -> Page:
        """Open a tab that is listened to."""
        page = await self.context.new_page()
        page.on("console", lambda message: self.hear(message.text))
        page.on("pageerror", lambda error: self.hear(str(error)))
        page.on("dialog", lambda dialog: self.hear(dialog.message))
        page.on("request", lambda request: self.note(request.url))
        return page

    def hear(self, text: str) -> None:
        """Remember a complaint."""
        if not text.startswith(STATUS_TOLD):
            self.complaints.append(text)

    def note(self, url: str) -> None:
        """Remember whom a page asked."""
        if not url.startswith("data:"):
            self.asked.append(url)

    async def nonces(self) -> list[Mapping[str, Any]]:
        """Return the cookies that bind a link to this browser."""
        return [dict(cookie) for cookie in await self.context.cookies() if "tokhub_oauth" in cookie.get("name", "")]


@dataclass
class Town:
    """A suite that serves, a browser for everybody, stores, and accounts of nobody yet."""

    home: Home
    playwright: Playwright
    browser: Browser
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def callback(self) -> str:
        """Where TikTok sends people back to."""
        return f"{self.home.gateway}{CALLBACK}"

    async def visitor(self, **looks: Any) -> Visitor:
        """Return somebody with an empty cookie jar."""
        return Visitor(await self.browser.new_context(ignore_https_errors=True, **looks))

    async def store(self) -> str:
        """Create a store and return its code."""
        code = f"shop_{next(self.numbers)}"
        new = {"store_code": code, "store_name": code, "pic_name": "Me"}
        async with httpx.AsyncClient(base_url=self.home.gateway, headers=self.home.admin_headers) as operator:
            assert (await operator.post("/admin/stores", json=new)).status_code == 201
        return code

    def account(self) -> str:
        """Return the name of a TikTok account that nobody has used."""
        return f"store_{next(self.numbers):04}"

    async def standing(self, code: str) -> str:
        """Return how a store is connected."""
        return str((await self.shown(code))["connectionStatus"])

    async def shown(self, code: str) -> dict[str, Any]:
        """Return a store as operators see it."""
        async with httpx.AsyncClient(base_url=self.home.gateway, headers=self.home.admin_headers) as operator:
            found: dict[str, Any] = (await operator.get(f"/admin/stores/{code}")).json()["data"]
        return found

    async def exchanges(self) -> int:
        """Return how many calls TikTok's token endpoint has seen."""
        async with httpx.AsyncClient(base_url=self.home.sandbox) as tiktok:
            return int((await tiktok.get("/sandbox/ledger")).json()["calls"].get("token", 0))

    async def opened(self, visitor: Visitor, code: str) -> Page:
        """Open a store's link in a new tab, which ends on TikTok's page."""
        page = await visitor.tab()
        await page.goto(f"{self.home.gateway}/connect/tiktok?store_code={code}")
        assert page.url.startswith(self.home.sandbox)
        return page

    def aged(self, state: str, seconds: int) -> str:
        """Return the state that this link would have if it had been made so long ago."""
        payload = state.partition(".")[0]
        said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        said |= {"iat": said["iat"] - seconds, "exp": said["exp"] - seconds}
        older = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
        secret = Secret((self.home.state / "secrets" / "STATE_SECRET").read_text())
        return f"{older}.{Keys.of(secret, self.callback).sign(older)}"


@asynccontextmanager
async def town(**settings: str) -> AsyncIterator[Town]:
    """Start a suite without stores, and a browser."""
    with directory() as path:
        home = Home(path, SANDBOX_ACCOUNTS="200", **settings)
        async with start(home, STORES="0") as suite, async_playwright() as playwright:
            await suite.until(SERVING)
            browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
            yield Town(home, playwright, browser)
            await browser.close()


async def pick(page: Page, account: str) -> None:
    """Look for an account on TikTok's page and choose it."""
    await page.get_by_label("Find an account").fill(account)
    await page.get_by_role("button", name="Search").click()
    await page.get_by_text(f"@{account}", exact=True).click()


async def consent(page: Page, account: str) -> Response:
    """Consent with an account, and return the page that this leads to."""
    await pick(page, account)
    return await decide(page, "Authorize")


async def decide(page: Page, button: str) -> Response:
    """Press a button of TikTok's page, and return the page that this leads to."""
    async with page.expect_response(lambda answer: CALLBACK in answer.url) as leads_to:
        await page.get_by_role("button", name=button).click()
    answer = await leads_to.value
    await page.get_by_role("heading").wait_for()
    return answer


def state_of(url: str) -> str:
    """Return the state in an address."""
    return parse_qs(urlsplit(url).query)["state"][0]


async def restate(page: Page, state: str) -> None:
    """Open TikTok's page again, with another state in its address."""
    parts = urlsplit(page.url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | {"state": state}
    await page.goto(parts._replace(query=urlencode(query)).geturl())


async def said(page: Page) -> str:
    """Return the words of a page."""
    return " ".join((await page.inner_text("main")).split())


async def nodes(page: Page) -> list[str]:
    """Return what a page is made of."""
    names: list[str] = await page.evaluate("[...document.querySelectorAll('*')].map(one => one.tagName)")
    return names
