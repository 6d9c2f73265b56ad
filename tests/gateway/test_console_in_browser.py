from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.browsers import ARGUMENTS, chromium
from tests.gateway.processes import running
from tests.gateway.served import ADMIN_KEY, Suite


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A page of a browser that runs no script."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield await browser.new_page(java_script_enabled=False)
        await browser.close()


async def test_somebody_signs_in_and_out_without_scripts(database_dsn: str, page: Page) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    async with running(Suite(), DATABASE_URL=database_dsn) as (_, url):
        await page.goto(f"{url}/console")
        await expect(page.locator("input:visible")).to_have_count(1)
        await page.get_by_label("API key").fill("not a key of anybody")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("Missing or invalid API key")
        await page.get_by_label("API key").fill(ADMIN_KEY)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        await page.reload()
        await page.locator(".who summary").click()
        await expect(page.get_by_text("May read and change everything")).to_be_visible()
        await page.get_by_role("button", name="Sign out", exact=True).click()
        await expect(page.get_by_role("heading")).to_have_text("Sign in to the console")

    assert [text for text in complaints if "401" not in text] == []
