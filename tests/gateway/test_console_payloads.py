"""What others chose to call themselves is text in the console; what a service does is shown as it does it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright, expect
from tokhub.sync.v1 import account_pb2, sync_pb2
from tokhub.token.v1 import token_pb2

from tests.browsers import ARGUMENTS, chromium
from tests.gateway.processes import running
from tests.gateway.served import ADMIN_KEY, Suite

PAYLOADS = (
    "<script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 1">',
    "</title></style><svg onload=window.ran=1>",
    "{{ 7 * 191 }}",
)
ALL = " ".join(PAYLOADS)


@pytest.fixture
def suite() -> Suite:
    """Services in which every text is somebody's payload."""
    suite = Suite()
    suite.stats.creators["u-1"] = account_pb2.AccountMetrics(username=ALL, display_name=ALL)
    owner = token_pb2.Owner(kind=token_pb2.OWNER_KIND_USER, id="u-1")
    suite.connections.connect("u-1", 1, account_id=ALL, owner=owner)
    suite.tokens.ended = [
        token_pb2.RefreshedConnection(
            outcome=token_pb2.REFRESH_OUTCOME_FAILED, shop_numbers=[1], name=ALL, reason="REAUTH_REQUIRED", message=ALL
        )
    ]
    suite.token_audit.add(ALL, "/tokhub.token.v1.TokenService/RefreshAll", request_json=f'{{"x": "{ALL}"}}')
    suite.vault.ring.keys[0].id = ALL
    return suite


@pytest.fixture
async def page(suite: Suite, database_dsn: str) -> AsyncIterator[Page]:
    """A tab of an operator, whose browser has nothing to complain of."""
    complaints: list[str] = []
    async with running(suite, DATABASE_URL=database_dsn) as (_, url), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = await browser.new_page(base_url=url)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto("/console")
        await page.get_by_label("API key").fill(ADMIN_KEY)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Overview").wait_for()
        yield page
        await browser.close()
    assert [text for text in complaints if "401" not in text] == []


async def harmless(page: Page) -> bool:
    await expect(page.locator("main")).to_contain_text(ALL)
    return await page.evaluate("window.ran") is None and await page.locator("main img, main svg").count() == 0


async def test_payloads_are_text_on_every_page(suite: Suite, page: Page) -> None:
    await page.goto("/console/creators?user_id=u-1")
    assert await harmless(page)
    await page.goto("/console/audit")
    await page.get_by_text("Show", exact=True).last.click()
    assert await harmless(page)
    await page.goto("/console/vault")
    assert await harmless(page)
    await page.goto("/console/refresh")
    await page.get_by_role("button", name="Refresh all tokens").click()
    assert await harmless(page)
    run = suite.sync.begin(sync_pb2.JOB_ALL)
    await page.goto(f"/console/sync/runs/{run.row.id}")
    failed = {"store_code": "a", "outcome": sync_pb2.OUTCOME_FAILED, "reason": "UPSTREAM_BAD_RESPONSE", "message": ALL}
    await run.change(state=sync_pb2.RUN_STATE_RUNNING, processed=1, failed=1, ended=[failed])
    assert await harmless(page)
    await page.reload()
    assert await harmless(page)


async def test_a_rotation_is_watched_to_its_end(suite: Suite, page: Page) -> None:
    suite.vault.rotates(1, 2)
    suite.vault.may_end.clear()
    await page.goto("/console/vault")
    await page.get_by_role("button", name="Seal all with k2").click()
    await expect(page.locator("[data-stage]")).to_have_text("sealing")
    suite.vault.may_end.set()

    await expect(page.locator("[data-stage]")).to_have_text("done")
    await expect(page.locator("[data-line]")).to_have_text("2 of 2 sealed anew")
    assert suite.vault.script.actors[-1].endswith("key/admin")


async def test_a_page_asks_to_sign_in_when_its_session_ends(suite: Suite, page: Page) -> None:
    run = suite.sync.begin(sync_pb2.JOB_ALL)
    await page.goto(f"/console/sync/runs/{run.row.id}")
    await run.watched()
    await page.evaluate("fetch('/console/session', {method: 'DELETE'})")

    await expect(page.get_by_role("link", name="Sign in")).to_be_visible(timeout=7_000)
    await page.get_by_role("link", name="Sign in").click()
    await page.get_by_label("API key").fill(ADMIN_KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Progress")).to_be_visible()


async def test_a_tab_that_nobody_sees_lets_go_of_its_stream(suite: Suite, page: Page) -> None:
    run = suite.sync.begin(sync_pb2.JOB_ALL)
    await page.goto(f"/console/sync/runs/{run.row.id}")
    await run.watched()
    await hide(page, "true")
    async with asyncio.timeout(10), run.changed:
        await run.changed.wait_for(lambda: run.watchers == 0)
    await run.change(state=sync_pb2.RUN_STATE_RUNNING)
    await hide(page, "false")

    await expect(page.locator("[data-state]")).to_have_text("running")


async def hide(page: Page, hidden: str) -> None:
    await page.evaluate(
        f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
