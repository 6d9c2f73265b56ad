"""People at browsers who look at the console of a running suite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browsers import ARGUMENTS, chromium
from tests.suite.browsing import UNLIMITED, Visitor
from tests.suite.local_suite import ROOT, SERVING, Home, directory, start

STORES = 300
READ_KEY = "CNRYread-key-of-the-console-0123456789"
PICTURES = ROOT / "build" / "console"
SIZES = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
IS_WIDER = "Number(document.documentElement.scrollWidth > document.documentElement.clientWidth)"
SCROLLS_UNSEEN = """() => [...document.querySelectorAll("body *")].filter((one) => {
    const style = getComputedStyle(one);
    return style.overflowX === "auto" && one.scrollWidth > one.clientWidth && style.backgroundImage === "none";
}).map((one) => one.className)"""
GRAVE = {"serious", "critical"}

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


@dataclass
class Viewer(Visitor):
    """Somebody with a tab in which the console is open, and what it complained of."""

    home: Home | None = None

    async def signed_in(self, key: str) -> Page:
        """Open the console in a new tab, signed in."""
        assert self.home
        page = await self.tab()
        await page.goto(f"{self.home.gateway}/console")
        await page.get_by_label("API key").fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Overview").wait_for()
        return page


@dataclass(frozen=True)
class Place:
    """A suite with some stores, connected and synced, and a browser."""

    home: Home
    browser: Browser

    @property
    def admin_key(self) -> str:
        """The key that may change everything."""
        return self.home.admin_headers["X-API-KEY"]

    async def viewer(self, **looks: Any) -> Viewer:
        """Return somebody with an empty cookie jar."""
        context: BrowserContext = await self.browser.new_context(base_url=self.home.gateway, **looks)
        return Viewer(context, home=self.home)


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    """Start a suite with stores, and a browser."""
    with directory() as path:
        home = Home(path, SANDBOX_ACCOUNTS=str(STORES + 30), ADMIN_API_KEYS=f"viewer:read:{READ_KEY}", **UNLIMITED)
        async with start(home, STORES=str(STORES)) as suite, async_playwright() as playwright:
            await suite.until(SERVING)
            browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
            yield Place(home, browser)
            await browser.close()


async def look_at(page: Page, name: str) -> list[str]:
    """Save how the open page looks, by light and darkness, wide and narrow; return what keeps some from using it."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    found: list[str] = []
    sizes = list(SIZES.items())
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        for size, pixels in sizes:
            await page.set_viewport_size({"width": pixels["width"], "height": pixels["height"]})
            await page.screenshot(path=PICTURES / f"{name}-{scheme}-{size}.png", full_page=True)
            found += [f"{name} {scheme} {size}: wider than its window"] * await page.evaluate(IS_WIDER)
            unseen = await page.evaluate(SCROLLS_UNSEEN)
            found += [f"{name} {scheme} {size}: {one} scrolls sideways without a hint" for one in unseen]
        # Each size once, each scheme once: what axe looks at depends on one or on the other.
        found += [f"{name} {scheme}: {problem}" for problem in await obstacles(page)]
        sizes.reverse()
    return found


async def obstacles(page: Page) -> list[str]:
    """Return what axe finds that is serious."""
    found = await Axe().run(page)
    grave = [one for one in found.response["violations"] if one["impact"] in GRAVE]
    return [f"{one['id']} at {[node['target'] for node in one['nodes']][:3]}" for one in grave]
