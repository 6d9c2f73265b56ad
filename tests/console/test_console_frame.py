"""What all pages of the console have in common."""

import pytest
from playwright.async_api import Page, expect

from tests.console.viewing import READ_KEY, Place, Viewer, look_at

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_overview_is_for_everybody(page: Page) -> None:
    assert await look_at(page, "overview") == []


async def test_the_sign_in_page_is_for_everybody(viewer: Viewer) -> None:
    page = await viewer.tab()
    await page.goto("/console")
    assert await look_at(page, "sign-in") == []


async def test_a_page_leads_back_to_itself_after_signing_in(viewer: Viewer) -> None:
    page = await viewer.tab()
    await page.goto("/console?from=a-link")
    await page.get_by_label("API key").fill(READ_KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    assert page.url.endswith("/console?from=a-link")


async def test_the_switch_outlives_the_page(page: Page) -> None:
    await page.emulate_media(color_scheme="light")
    await page.get_by_role("button", name="Dark").click()
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = await page.evaluate(ground)
    await page.reload()
    assert await page.evaluate(ground) == dark
    await page.get_by_role("button", name="Light").click()
    assert await page.evaluate(ground) != dark


async def test_times_are_in_the_viewers_zone(here: Place) -> None:
    viewer = await here.viewer(timezone_id="Asia/Jakarta", locale="en-GB")
    page = await viewer.signed_in(READ_KEY)
    moment = page.locator("time").first
    await expect(page.locator("#zone")).to_have_text("Times are in your zone, Asia/Jakarta.")
    hour = (int((await moment.get_attribute("datetime") or "")[11:13]) + 7) % 24
    assert f", {hour:02}:" in (await moment.get_attribute("title") or "")
    await viewer.context.close()
