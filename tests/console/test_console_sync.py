"""Runs in the console: started, watched as they go, cancelled, and kept watching across a restart of the gateway."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, expect

from tests.console.gateways import replica, tiktok_with
from tests.console.viewing import READ_KEY, STORES, Place, Viewer, look_at

pytestmark = pytest.mark.asyncio(loop_scope="session")
ALL_ENDED = f"{STORES} of {STORES} ended"


async def start(page: Page, stores: str = "", job: str = "user") -> None:
    await page.goto("/console/sync")
    await page.get_by_label("Job").select_option(job)
    await page.get_by_label("Stores (optional)").fill(stores)
    await page.get_by_role("button", name="Start").click()


async def test_a_run_is_started_and_watched_to_its_end(page: Page) -> None:
    await start(page, job="all")
    await expect(page.get_by_role("status").filter(has_text="started")).to_be_visible()
    await expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=60_000)
    await expect(page.locator("[data-line]")).to_contain_text(ALL_ENDED)
    await expect(page.locator("[data-jobs] li")).to_have_count(3)
    await expect(page.get_by_role("button", name="Cancel the run")).to_be_hidden()
    assert await look_at(page, "run") == []
    await page.get_by_role("link", name="Sync", exact=True).first.click()
    await expect(page.locator("#history tbody tr").first).to_contain_text("succeeded")
    assert await look_at(page, "sync") == []


async def test_runs_over_one_store_and_a_list_say_so(page: Page) -> None:
    await start(page, "store_0001")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("store_0001")
    await start(page, "store_0001, store_0002\nstore_0003")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("3 stores")


async def test_what_cannot_be_started_is_said_beside_what_was_entered(page: Page) -> None:
    await start(page, "store_0001 <img src=x>")
    await expect(page.get_by_role("alert").first).to_contain_text("1-50 alphanumeric characters")
    await expect(page.get_by_label("Stores (optional)")).to_have_value("store_0001 <img src=x>")
    await start(page, "nobody_has_this")
    await expect(page.get_by_role("alert").first).to_contain_text("not")


async def test_who_may_only_read_sees_no_button(read_only: Page) -> None:
    for path in ("/console/sync", "/console/schedule"):
        await read_only.goto(path)
        await expect(read_only.get_by_role("heading", level=1)).to_be_visible()
        assert await read_only.locator("main button, main form").count() == 0
    answer = await read_only.evaluate(
        """fetch("/console/sync", {method: "POST", body: new URLSearchParams({job: "all", once: "x"})})
           .then((answer) => answer.status)"""
    )
    assert answer == 403


async def test_the_schedule_runs_a_job_or_says_what_it_would_do(page: Page) -> None:
    await page.goto("/console/schedule")
    assert await look_at(page, "schedule") == []
    await page.get_by_role("button", name="Dry run: sync accounts").click()
    await expect(page.get_by_role("status")).to_have_text(
        f"Sync accounts would take {STORES} stores. Nothing was done."
    )
    await page.get_by_role("button", name="Run now: sync accounts").click()
    await expect(page).to_have_url(re.compile("/console/sync/runs/"))
    await expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=60_000)


async def test_failures_are_listed_as_they_happen(here: Place, page: Page) -> None:
    async with tiktok_with(here.home, kind="html", status=200, endpoint="user"):
        await start(page, "store_0001 store_0002")
        await expect(page.get_by_role("log").get_by_role("listitem")).to_have_count(2, timeout=60_000)
    await expect(page.get_by_role("log")).to_contain_text("UPSTREAM_BAD_RESPONSE")
    await expect(page.locator("[data-state]")).to_have_text("failed")
    live = sorted(await page.get_by_role("log").get_by_role("listitem").all_inner_texts())
    assert await look_at(page, "run-failed") == []
    await page.reload()
    assert sorted(await page.get_by_role("log").get_by_role("listitem").all_inner_texts()) == live


async def test_a_run_is_cancelled_where_it_stands(here: Place, page: Page) -> None:
    async with tiktok_with(here.home, kind="latency", seconds=3):
        await start(page)
        await expect(page.locator("[data-state]")).to_have_text("running")
        assert await look_at(page, "run-active") == []
        await page.get_by_text("Cancel the run").click()
        await page.get_by_role("button", name="Cancel it").click()
        await expect(page.locator("[data-state]")).to_have_text("cancelled")
    await expect(page.get_by_text("Cancel the run")).to_have_count(0)


async def test_two_watch_a_run_across_a_restart_of_the_gateway(here: Place, viewer: Viewer, page: Page) -> None:
    other = await here.viewer()
    watching = await other.signed_in(READ_KEY)
    async with replica(here.home) as gateway:
        async with tiktok_with(here.home, kind="latency", seconds=3):
            await start(page, job="video")
            path = urlsplit(page.url).path
            for each in (page, watching):
                await each.goto(f"{gateway.url}{path}")
                await expect(each.locator("[data-state]")).to_have_text("running")
            await gateway.end()
            await gateway.start()
            for each in (page, watching):
                await expect(each.locator("[data-line]")).to_contain_text(f" of {STORES} ended")
        for each in (page, watching):
            await expect(each.locator("[data-state]")).to_have_text("succeeded", timeout=90_000)
            await expect(each.locator("[data-line]")).to_contain_text(ALL_ENDED)
            await expect(each.locator("#banner")).to_be_hidden()
        await page.goto("/console")
    assert {"ERR_CONNECTION_REFUSED" in text or "ERR_INCOMPLETE" in text for text in viewer.complaints} <= {True}
    viewer.complaints.clear()
    await other.context.close()
