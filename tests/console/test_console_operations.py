"""Tokens by hand, creators, the audit trail and the vault, in the console of a running suite."""

import asyncio
import re

import httpx
import pytest
from playwright.async_api import Page, Route, expect

from tests.console.viewing import STORES, Place, Viewer, look_at
from tests.suite.browsing import pick
from tests.suite.test_user_flows import connect_shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

CREATOR = f"store_{STORES + 2:04}"  # an account that no store has
POSTED = """(path) => fetch(path, {
    method: "POST", body: new URLSearchParams({how: "do", act: "sync", user_id: "u"})
}).then((answer) => answer.status)"""
PAGES = ("refresh", "creators?user_id=creator_1", "audit", "audit/verify", "vault")


async def with_a_shop(here: Place) -> None:
    headers = here.home.user_headers("seller-user")
    async with httpx.AsyncClient(base_url=here.home.gateway, headers=headers, timeout=30) as app:
        assert (await connect_shop(app, "seller_0001")).status_code == 200


async def test_tokens_are_looked_at_first_and_then_refreshed(here: Place, page: Page) -> None:
    await with_a_shop(here)
    await page.goto("/console/refresh")
    await page.get_by_role("button", name="Look what would be done").click()
    await expect(page.get_by_role("status")).to_have_text("1 in all, 1 without an obstacle, 0 failed")
    await expect(page.locator("[data-shops] tr")).to_contain_text("not due")
    await page.get_by_label("All, also those that are not due").check()
    await page.get_by_role("button", name="Refresh all tokens").click()
    await expect(page.get_by_role("status")).to_have_text("1 in all, 1 successful, 0 failed")
    await expect(page.locator("[data-shops] tr .badge")).to_have_text("refreshed")
    assert await look_at(page, "refresh") == []


async def test_a_creator_is_connected_synced_and_disconnected(viewer: Viewer, page: Page) -> None:
    await page.goto("/console/creators")
    await page.get_by_label("User id").fill("creator_9")
    await page.get_by_role("button", name="Show").click()
    state = page.locator("[data-connected]")
    await expect(state).to_have_text("not connected")
    await page.get_by_role("button", name="Connect", exact=True).click()
    await expect(page.get_by_label("Link for the creator")).to_have_value(re.compile("^http"))
    async with viewer.context.expect_page() as opened:
        await page.get_by_role("link", name="Open TikTok's page").click()
    consent = await opened.value
    await pick(consent, CREATOR)
    await consent.get_by_role("button", name="Authorize").click()
    await consent.get_by_role("heading").wait_for()
    await expect(state).to_have_text("connected", timeout=30_000)
    await page.get_by_role("button", name="Sync now").click()
    await expect(page.locator("[data-metric=followerCount]")).to_have_text(re.compile("[0-9]"), timeout=60_000)
    await expect(page.locator("[data-field=username]")).to_have_text(CREATOR)
    assert await look_at(page, "creator") == []
    await page.get_by_text("Disconnect", exact=True).click()
    await page.get_by_role("button", name="Disconnect it").click()
    await expect(state).to_have_text("not connected")
    await expect(page.locator("[data-figures]")).to_be_hidden()


async def test_the_trail_is_filtered_and_verified(page: Page) -> None:
    await page.goto("/console/audit?service=sync")
    await expect(page.locator("tbody tr").first).to_be_visible()
    assert await look_at(page, "audit") == []
    await page.get_by_label("Actor").fill("operator/nobody")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_text("Nothing is recorded")).to_be_visible()
    await page.get_by_role("button", name="Verify the chains").click()
    await expect(page.locator(".badge", has_text="whole")).to_have_count(2)
    # Of the token service nothing may be recorded yet: that depends on which tests came before.
    kept = await page.locator("#checkpoint-sync").input_value()
    await page.locator("#service").select_option("sync")
    await page.get_by_role("textbox", name="Checkpoint", exact=True).last.fill(kept)
    await page.get_by_role("button", name="Verify", exact=True).click()
    await expect(page.locator(".badge", has_text="whole")).to_have_count(2)
    assert await look_at(page, "verify") == []


async def test_the_vault_shows_its_ring_and_no_key(here: Place, page: Page) -> None:
    await page.goto("/console/vault")
    await expect(page.get_by_role("row", name="default")).to_contain_text("active")
    assert (here.home.state / "secrets" / "TOKEN_ENC_KEY").read_text().strip() not in await page.content()
    assert await look_at(page, "vault") == []


async def test_who_may_only_read_can_look_and_do_nothing(read_only: Page) -> None:
    for path in PAGES:
        await read_only.goto(f"/console/{path}")
        await expect(read_only.get_by_role("heading", level=1)).to_be_visible()
        assert await read_only.locator("main form[method=post]").count() == 0
    for path in (
        "/console/refresh",
        "/console/creators",
        "/console/vault",
        "/console/audit/verify",
        "/admin/vault/rotate",
    ):
        status = await read_only.evaluate(POSTED, path)
        assert status == 403, path


async def test_a_look_meanwhile_does_not_drop_what_came_of_an_act(page: Page) -> None:
    async def refuse_late(route: Route) -> None:
        await asyncio.sleep(7)
        await route.fulfill(status=503, json={"error": {"code": "STORAGE_UNAVAILABLE", "message": "Try again later"}})

    await page.goto("/console/creators?user_id=creator_7")
    await page.get_by_role("button", name="Connect", exact=True).click()
    await expect(page.get_by_label("Link for the creator")).to_have_value(re.compile("^http"))
    await page.route("**/auth/init*", refuse_late)
    await page.get_by_role("button", name="Connect", exact=True).click()

    await expect(page.locator("[data-problem]")).to_have_text("Try again later", timeout=15_000)


async def test_pages_work_without_scripts(here: Place) -> None:
    viewer = await here.viewer(java_script_enabled=False)
    page = await viewer.signed_in(here.admin_key)
    await with_a_shop(here)
    await page.goto("/console/refresh")
    await page.get_by_role("button", name="Look what would be done").click()
    await expect(page.get_by_role("status")).to_contain_text("1 in all")
    await page.goto("/console/creators?user_id=creator_8")
    await page.get_by_role("button", name="Connect").click()
    await expect(page.get_by_label("Link for the creator")).to_have_value(re.compile("^http"))
    await page.goto("/console/audit/verify")
    await page.get_by_role("button", name="Verify the chains").click()
    await expect(page.locator(".badge", has_text="whole")).to_have_count(2)
    await page.goto("/console/sync")
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_role("heading", name="Progress")).to_be_visible()
    assert viewer.complaints == []
    await viewer.context.close()
