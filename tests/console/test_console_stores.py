"""Stores: finding them, adding, connecting and disconnecting them, and a store's page."""

import asyncpg
import pytest
from playwright.async_api import Page, expect

from tests.console.viewing import STORES, Place, Viewer, look_at
from tests.suite.browsing import consent
from tests.suite.test_oauth_in_browser import PAYLOADS

pytestmark = pytest.mark.asyncio(loop_scope="session")

HISTORY = """
INSERT INTO reporting.tiktok_user_daily
    (subject_kind, subject_id, snapshot_date, fetched_at, follower_count, likes_count, video_count, display_name)
SELECT 'store', $1, current_date - n, now(), followers - 900 * n + 400 * (n % 3), likes - 7000 * n, 22 - n / 2, $2
FROM generate_series(1, 28) n, (
    SELECT coalesce(max(follower_count), 60000) AS followers, coalesce(max(likes_count), 900000) AS likes
    FROM reporting.tiktok_user_daily WHERE subject_id = $1) today
ON CONFLICT DO NOTHING
"""
VIDEO_HISTORY = """
INSERT INTO reporting.tiktok_video_daily
    (subject_kind, subject_id, snapshot_date, fetched_at, video_id, view_count, like_count, description)
SELECT 'store', $1, current_date - n, now(), 'v' || v, 5000 * v - 90 * n * v, 100 * v, $2
FROM generate_series(1, 28) n, generate_series(1, 3) v
ON CONFLICT DO NOTHING
"""


async def add(page: Page, code: str, name: str, person: str = "Sri") -> None:
    """Add a store as a person does."""
    await page.goto("/console/stores")
    await page.get_by_role("link", name="Add a store").click()
    await page.get_by_label("Code").fill(code)
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_label("Person in charge").fill(person)
    await page.get_by_role("button", name="Add the store").click()


async def give_history(here: Place, code: str, words: str = "Toko Jaya") -> None:
    """Give a store four weeks of snapshots."""
    connection = await asyncpg.connect(here.home.admin_dsn)
    try:
        await connection.execute(HISTORY, code, words)
        await connection.execute(VIDEO_HISTORY, code, words)
    finally:
        await connection.close()


async def test_the_list_of_stores_is_for_everybody(page: Page) -> None:
    await page.goto("/console/stores?search=store_000")
    await expect(page.get_by_role("row")).to_have_count(10)
    assert await look_at(page, "stores") == []
    await page.goto("/console/new-store")
    assert await look_at(page, "store-new") == []


async def test_stores_are_found_by_text_and_status(page: Page) -> None:
    await page.goto("/console/stores")
    await page.get_by_label("Search").fill("store_0003")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_label("Status").select_option("DISCONNECTED")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_text("No store like that")).to_be_visible()


async def test_a_store_is_added_connected_and_disconnected(here: Place, viewer: Viewer, page: Page) -> None:
    await add(page, "my-shop", "My shop")
    await expect(page.get_by_role("status")).to_contain_text("The store was added")
    await page.get_by_role("button", name="Connect", exact=True).click()
    link = await page.get_by_label("Link").input_value()
    assert link.startswith(here.home.sandbox)
    await expect(page.get_by_alt_text("The link as a QR code")).to_be_visible()
    assert await look_at(page, "store-link") == []
    await viewer.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Copy").click()
    assert await page.evaluate("navigator.clipboard.readText()") == link

    owner = await here.viewer()
    elsewhere = await owner.tab()
    await elsewhere.goto(link)
    assert (await consent(elsewhere, f"store_{STORES + 1:04}")).status == 200
    await owner.context.close()

    await page.goto("/console/stores/my-shop")
    await expect(page.locator("#connection .badge")).to_have_text("connected")
    await page.get_by_role("button", name="Sync now").click()
    await expect(page.get_by_role("status").get_by_text("succeeded")).to_be_visible(timeout=30_000)
    await page.goto("/console/stores/my-shop")
    await expect(page.locator("#logs li")).to_have_count(3)
    await page.locator("summary", has_text="Disconnect").click()
    await page.get_by_role("button", name="Disconnect the account").click()
    await expect(page.get_by_role("status")).to_contain_text("was disconnected")
    await expect(page.locator("#connection .badge")).to_have_text("disconnected")


async def test_what_is_wrong_with_a_new_store_is_said_beside_it(page: Page) -> None:
    await add(page, "store_0001", "Again")
    await expect(page.get_by_role("alert")).to_contain_text("exists")
    await expect(page.get_by_label("Name", exact=True)).to_have_value("Again")
    await page.get_by_label("Code").fill("a space")
    await page.get_by_role("button", name="Add the store").click()
    await expect(page.get_by_role("alert")).to_contain_text("must be 1-50")


async def test_a_stores_page_shows_its_figures_as_curves(here: Place, page: Page) -> None:
    await give_history(here, "store_0003")
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    await page.goto("/console/stores/store_0003")
    await expect(page.locator("figure[data-drawn]")).to_have_count(4)
    assert loaded.count("lightweight-charts.js") == 1
    await page.locator("figure summary").first.click()
    await expect(page.locator("figure").first.get_by_role("row")).to_have_count(30)
    await page.locator("figure summary").first.click()
    assert await look_at(page, "store") == []


async def test_a_key_that_may_only_read_sees_no_buttons(here: Place, read_only: Page) -> None:
    for path in ("/console/stores", "/console/stores/store_0001"):
        await read_only.goto(path)
        await expect(read_only.get_by_role("heading", level=1)).to_be_visible()
        words = await read_only.locator("main button, main .actions, main a.button").all_inner_texts()
        assert words == (["Search", "Next page"] if path.endswith("stores") else [])
    headers = {"Origin": here.home.gateway}
    asked = await read_only.request.post("/console/stores/store_0001/disconnect", form={}, headers=headers)
    assert asked.status == 403
    await read_only.goto("/console/stores/store_0001")
    await expect(read_only.locator("#connection .badge")).to_have_text("connected")


async def test_texts_of_strangers_are_shown_as_text(here: Place, page: Page) -> None:
    words = " ".join(PAYLOADS)[:250]
    await add(page, "payload", words, words)
    await give_history(here, "payload", words)
    for path in ("/console/stores", "/console/stores/payload", "/console/stores?search=%3Cscript%3Ewindow.ran%20=%201"):
        await page.goto(path)
        await expect(page.get_by_text("<script>window.ran = 1</script>").first).to_be_visible()
        assert await page.evaluate("window.ran") is None
        assert await page.locator("main script, main iframe, main base, marquee").count() == 0
