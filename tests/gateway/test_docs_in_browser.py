from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright

from tests.browsers import ARGUMENTS, chromium
from tests.gateway.served import ADMIN_KEY, Gateway


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield await browser.new_page()
        await browser.close()


async def test_a_route_is_tried_out_with_a_key(gateway: Gateway, page: Page) -> None:
    gateway.suite.stores.add("store_0001")
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{gateway.url}/docs")
    await page.get_by_role("button", name="Authorize").click()
    await page.locator("#api_key_value").first.fill(ADMIN_KEY)
    await page.get_by_role("button", name="Apply credentials").first.click()
    await page.get_by_role("button", name="Close").first.click()
    operation = page.locator("#operations-stores-list_stores_admin_stores_get")
    await operation.get_by_role("button").first.click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()
    await operation.get_by_text('"storeCode": "store_0001"').first.wait_for()
    assert complaints == []
    assert {url.removeprefix(gateway.url).split("/")[1] for url in asked if not url.startswith("data:")} == {
        "docs",
        "api",
        "admin",
    }
