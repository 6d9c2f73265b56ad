import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.async_api import Page, async_playwright

from tests.browsers import ARGUMENTS, chromium
from tests.sandbox.shopper import SERVICE_ID, Shopper
from tests.sandbox.visitor import KEY, SCOPES, Visitor


async def say_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
    await writer.drain()
    writer.close()


@pytest.fixture
async def callback() -> AsyncIterator[str]:
    """The address of an app that greets whoever comes back."""
    server = await asyncio.start_server(say_hello, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callback"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield await browser.new_page()
        await browser.close()


async def open_consent(served: Visitor, page: Page, callback: str) -> None:
    await served.switch(redirect_uris=[callback])
    params = {
        "client_key": KEY,
        "response_type": "code",
        "scope": ",".join(SCOPES),
        "redirect_uri": callback,
        "state": "b-1",
    }
    await page.goto(f"{served.client.base_url}/v2/auth/authorize/?{urlencode(params)}")


async def test_a_person_authorizes_in_a_browser(served: Visitor, page: Page, callback: str) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await open_consent(served, page, callback)
    await page.get_by_label("Find an account").fill("store_0029")
    await page.get_by_role("button", name="Search").click()
    await page.get_by_text("@store_0029").click()
    await page.get_by_role("switch", name="user.info.stats").uncheck()
    await page.get_by_role("button", name="Authorize").click()
    await page.wait_for_url(f"{callback}?*")
    came_back = parse_qs(urlsplit(page.url).query)
    tokens = await served.exchange(came_back["code"][0], redirect_uri=callback)
    assert tokens["scope"] == "user.info.basic,user.info.profile,video.list"
    assert (await served.user(tokens["access_token"], "username")).json()["data"]["user"]["username"] == "store_0029"
    assert complaints == []

    await open_consent(served, page, callback)
    await page.get_by_role("button", name="Deny").click()
    await page.wait_for_url(f"{callback}?*")
    came_back = parse_qs(urlsplit(page.url).query)
    assert (came_back["error"], came_back["state"]) == (["access_denied"], ["b-1"])


async def test_a_seller_authorizes_in_a_browser(served: Visitor, page: Page, callback: str) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await served.switch(shop_redirect_uri=callback)
    url = f"{served.client.base_url}/open/authorize?{urlencode({'service_id': SERVICE_ID, 'state': 'b-2'})}"
    await page.goto(url)
    await page.get_by_label("Find a seller").fill("seller_0003")
    await page.get_by_role("button", name="Search").click()
    await page.get_by_text("seller_0003").click()
    await page.get_by_role("button", name="Authorize").click()
    await page.wait_for_url(f"{callback}?*")
    came_back = parse_qs(urlsplit(page.url).query)
    shopper = Shopper(served.client)
    tokens = (await shopper.shop_get(came_back["code"][0]))["data"]
    assert came_back["state"] == ["b-2"]
    assert len((await shopper.shops(tokens["access_token"])).json()["data"]["shops"]) == 3
    assert complaints == []

    await page.goto(url)
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_role("heading", name="Nothing was authorized").wait_for()
    assert urlsplit(page.url).path == "/open/authorize"
