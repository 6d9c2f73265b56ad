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


async def test_a_link_of_another_site_finds_who_is_signed_in(here: Place, page: Page) -> None:
    await page.goto(here.home.sandbox.replace("127.0.0.1", "localhost"))
    async with page.expect_navigation(url="**/console/stores"):
        await page.evaluate("url => { location.href = url }", f"{here.home.gateway}/console/stores")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Stores")


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


AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"


async def test_an_open_page_learns_what_changes(here: Place, page: Page) -> None:
    connected = page.locator("#statuses a", has_text="not connected").locator("b")
    before = int(await connected.inner_text())
    new = {"store_code": "learnt", "store_name": "Learnt", "pic_name": "Sri"}
    headers = {"X-API-KEY": here.admin_key}
    assert (await page.request.post("/admin/stores", data=new, headers=headers)).status == 201
    await page.evaluate(AGAIN)
    await expect(connected).to_have_text(str(before + 1))


async def test_a_part_that_the_keyboard_is_in_stays(here: Place, page: Page) -> None:
    await page.locator("#statuses a").first.focus()
    await page.keyboard.press("Tab")
    new = {"store_code": "kept", "store_name": "Kept", "pic_name": "Sri"}
    assert (await page.request.post("/admin/stores", data=new, headers={"X-API-KEY": here.admin_key})).status == 201
    async with page.expect_response("**/console"):
        await page.evaluate(AGAIN)
    await page.wait_for_timeout(200)
    assert await page.evaluate("document.activeElement.closest('#statuses') !== null")


async def test_the_end_of_a_session_is_told_and_mended(here: Place, viewer: Viewer, page: Page) -> None:
    await page.goto("/console/stores?search=store_0001")
    await viewer.context.clear_cookies()
    await page.evaluate(AGAIN)
    await expect(page.get_by_role("alert")).to_contain_text("Your session has ended")
    await page.get_by_role("link", name="Sign in").click()
    await page.get_by_label("API key").fill(here.admin_key)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_label("Search")).to_have_value("store_0001")


async def test_an_open_page_waits_for_a_gateway_that_is_away(here: Place) -> None:
    viewer = await here.viewer()
    page = await viewer.signed_in(here.admin_key)
    await viewer.context.set_offline(offline=True)
    for _ in range(3):
        await page.evaluate(AGAIN)
        await page.wait_for_timeout(200)
    await expect(page.locator("#banner")).to_contain_text("cannot be reached")
    await viewer.context.set_offline(offline=False)
    await page.evaluate(AGAIN)
    await expect(page.locator("#banner")).to_be_hidden()
    await viewer.context.close()


async def test_the_first_page_is_small_and_charts_come_when_seen(here: Place, viewer: Viewer) -> None:
    page = await viewer.tab()
    await page.set_viewport_size({"width": 1280, "height": 150})
    wire = await viewer.context.new_cdp_session(page)
    await wire.send("Network.enable")
    sizes: dict[str, float] = {}
    names: dict[str, str] = {}
    wire.on("Network.responseReceived", lambda told: names.update({told["requestId"]: told["response"]["url"]}))
    wire.on("Network.loadingFinished", lambda told: sizes.update({told["requestId"]: told["encodedDataLength"]}))
    await page.goto("/console")
    await page.get_by_label("API key").fill(here.admin_key)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_load_state("networkidle")
    assert not [url for url in names.values() if "lightweight-charts" in url]
    assert sum(sizes.values()) <= 250_000
    await page.locator("#tokens").scroll_into_view_if_needed()
    await expect(page.locator("#tokens figure[data-drawn]")).to_have_count(1)
    assert [url for url in names.values() if "lightweight-charts" in url]


async def test_what_pages_show_is_there_without_scripts(here: Place) -> None:
    viewer = await here.viewer(java_script_enabled=False)
    page = await viewer.signed_in(here.admin_key)
    await page.goto("/console/new-store")
    for label, value in (("Code", "plain"), ("Name", "Plain"), ("Person in charge", "Sri")):
        await page.get_by_label(label, exact=True).fill(value)
    await page.get_by_role("button", name="Add the store").click()
    await expect(page.get_by_role("status")).to_contain_text("The store was added")
    await page.goto("/console")
    await page.locator("#tokens summary").click()
    await expect(page.locator("#tokens tbody tr")).to_have_count(24)
    await viewer.context.close()
