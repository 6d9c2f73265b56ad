"""A person connects a store in a browser, and others try what they should not be able to."""

from collections.abc import AsyncIterator
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.suite.browsing import (
    UNLIMITED,
    Town,
    Visitor,
    consent,
    decide,
    nodes,
    restate,
    said,
    state_of,
    town,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAYLOADS = (
    "<script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 1">',
    "</title></style><svg onload=window.ran=1>",
    "'-(window.ran=1)-'",
    "javascript:window.ran=1",
    "{{ 40127 * 40129 }}${40127*40129}",
    "<iframe srcdoc='<script>parent.ran = 1</script>'>",
    "<base href=https://evil.example/><form action=https://evil.example><input name=code>",
    "%3Cscript%3Ewindow.ran=1%3C/script%3E",
    "\u2028</p><marquee onstart=window.ran=1>",
)
INTRUSION = """
const one = document.createElement('script');
one.textContent = 'window.ran = 1';
document.body.append(one);
document.body.insertAdjacentHTML('beforeend', '<img src=https://evil.example/x onerror="window.ran = 1">');
"""
ELSEWHERE = (
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "https:evil.example",
    "%0d%0aLocation:%20https://evil.example",
    "javascript:alert(1)",
    "http://127.0.0.1@evil.example/",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Town]:
    async with town(**UNLIMITED) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(here: Town) -> AsyncIterator[Visitor]:
    """Somebody whose browser has nothing to complain of."""
    somebody = await here.visitor()
    yield somebody
    assert somebody.complaints == []
    await somebody.context.close()


async def test_a_person_connects_a_store(here: Town, visitor: Visitor) -> None:
    code = await here.store()
    page = await here.opened(visitor, code)
    (cookie,) = await visitor.nonces()

    answer = await consent(page, here.account())

    assert (answer.status, await page.title()) == (200, "TikTok Connection Successful")
    assert await page.get_by_role("heading", level=1).inner_text() == "✅ Successfully connected!"
    assert f"connected to store: {code}" in await said(page)
    assert await here.standing(code) == "CONNECTED"
    assert (cookie["name"], cookie["domain"], cookie["httpOnly"], cookie["secure"]) == (
        *("tokhub_oauth", "127.0.0.1", True, False),
    )
    assert (cookie["sameSite"], await visitor.nonces()) == ("Lax", [])
    assert {urlsplit(url).netloc for url in visitor.asked} == {
        urlsplit(url).netloc for url in (here.home.gateway, here.home.sandbox)
    }


async def test_a_link_opened_by_another_name_of_this_machine_works(here: Town, visitor: Visitor) -> None:
    code = await here.store()
    page = await visitor.tab()
    await page.goto(f"http://localhost:{here.home.ports['PORT']}/connect/tiktok?store_code={code}")

    assert (await consent(page, here.account())).status == 200
    assert await here.standing(code) == "CONNECTED"


async def test_who_denies_connects_nothing_and_may_change_their_mind(here: Town, visitor: Visitor) -> None:
    code = await here.store()
    page = await here.opened(visitor, code)

    answer = await decide(page, "Deny")

    assert (answer.status, await page.title()) == (400, "Connection Failed")
    assert "The connection was declined on TikTok's page" in await said(page)
    assert await here.standing(code) == "NOT_CONNECTED"
    assert (await consent(await here.opened(visitor, code), here.account())).status == 200


async def test_a_tampered_state_is_refused_and_the_link_still_works(here: Town, visitor: Visitor) -> None:
    code, account = await here.store(), here.account()
    page = await here.opened(visitor, code)
    link, state, before = page.url, state_of(page.url), await here.exchanges()
    payload, _, signature = state.partition(".")
    for tampered in (state[:-1] + chr(ord(state[-1]) ^ 1), payload, f"{payload}.{signature[::-1]}", "x"):
        await page.goto(link)
        await restate(page, tampered)
        answer = await consent(page, account)
        assert answer.status == 400
        assert "Invalid state parameter (possible CSRF attack)" in await said(page)
    assert (await here.standing(code), await here.exchanges()) == ("NOT_CONNECTED", before)

    await page.goto(link)
    assert (await consent(page, account)).status == 200


async def test_a_callback_that_is_loaded_again_changes_nothing(here: Town, visitor: Visitor) -> None:
    code = await here.store()
    page = await here.opened(visitor, code)
    (nonce,) = await visitor.nonces()
    await consent(page, here.account())
    before = await here.exchanges(), await here.shown(code)

    for _ in range(2):
        answer = await page.reload()
        assert answer is not None
        assert answer.status == 400
        assert "This connect link was used already" in await said(page)
        own = here.home.gateway
        await visitor.context.add_cookies([{"name": nonce["name"], "value": nonce["value"], "url": own}])
    assert (await here.exchanges(), await here.shown(code)) == before


async def test_an_expired_link_is_refused(here: Town, visitor: Visitor) -> None:
    code = await here.store()
    page = await here.opened(visitor, code)
    before = await here.exchanges()
    await restate(page, here.aged(state_of(page.url), seconds=3_600))

    answer = await consent(page, here.account())

    assert answer.status == 400
    assert "This connect link has expired" in await said(page)
    assert (await here.standing(code), await here.exchanges()) == ("NOT_CONNECTED", before)


async def test_the_state_of_another_store_connects_neither(here: Town, visitor: Visitor) -> None:
    mine, theirs = await here.store(), await here.store()
    other = await here.visitor()
    foreign = state_of((await here.opened(other, theirs)).url)
    page = await here.opened(visitor, mine)
    await restate(page, foreign)

    answer = await consent(page, here.account())

    assert answer.status == 400
    assert "Invalid state parameter" in await said(page)
    assert [await here.standing(code) for code in (mine, theirs)] == ["NOT_CONNECTED"] * 2
    await other.context.close()


async def test_of_two_tabs_the_one_opened_last_connects(here: Town, visitor: Visitor) -> None:
    code = await here.store()
    first, second = await here.opened(visitor, code), await here.opened(visitor, code)

    early, last = await consent(first, here.account()), await consent(second, here.account())

    assert (early.status, last.status) == (400, 200)
    assert "Of several tabs, only the one that was opened last can finish" in await said(first)
    assert await here.standing(code) == "CONNECTED"


async def test_an_account_that_is_used_already_is_told_by_its_cause(here: Town, visitor: Visitor) -> None:
    mine, other, account = await here.store(), await here.store(), here.account()
    await consent(await here.opened(visitor, mine), account)
    before = await here.shown(mine)

    taken = await here.opened(visitor, other)
    assert (await consent(taken, account)).status == 409
    assert "connected to another owner already (store sh***)" in await said(taken)
    second = await here.opened(visitor, mine)
    assert (await consent(second, here.account())).status == 409
    assert "Another TikTok account is connected here already" in await said(second)

    assert (await here.standing(other), await here.shown(mine)) == ("NOT_CONNECTED", before)


async def test_a_seller_connects_a_shop_unless_one_must_be_chosen(here: Town, visitor: Visitor) -> None:
    for seller, status, words in (
        ("seller_0003", 409, "one of them must be chosen"),
        ("seller_0001", 200, "user: u-1"),
    ):
        async with httpx.AsyncClient(base_url=here.home.gateway, headers=here.home.user_headers("u-1")) as app:
            link = (await app.post("/api/v1/tiktok/auth/initiate", json={})).json()["authUrl"]
        page = await visitor.tab()
        await page.goto(link)
        await page.get_by_label("Find a seller").fill(seller)
        await page.get_by_role("button", name="Search").click()
        await page.get_by_text(seller).click()
        assert (await decide(page, "Authorize")).status == status
        assert words in await said(page)


async def test_a_stranger_cannot_make_a_visitor_finish_their_consent(here: Town, visitor: Visitor) -> None:
    code, account = await here.store(), here.account()
    callback = await consented_elsewhere(here, code, account)
    for page in (await visitor.tab(), await here.opened(visitor, code)):
        answer = await page.goto(callback)
        assert answer is not None
        assert answer.status == 400
        assert "Invalid state parameter (possible CSRF attack)" in await said(page)
    assert await here.standing(code) == "NOT_CONNECTED"


async def consented_elsewhere(here: Town, code: str, account: str) -> str:
    """Let somebody else consent on a link of their own and keep the address they are sent back to."""
    async with httpx.AsyncClient(headers={"Accept": "application/json"}) as stranger:
        begun = await stranger.get(f"{here.home.gateway}/connect/tiktok", params={"store_code": code})
        asked = (await stranger.get(begun.headers["Location"])).json()
        form = {"ticket": asked["ticket"], "account": account, "scopes": asked["scopes"], "decision": "authorize"}
        return str((await stranger.post(asked["consent_url"], data=form)).headers["Location"])


async def test_no_address_leads_away_from_here_and_tiktok(here: Town, visitor: Visitor) -> None:
    code = await here.store()
    page = await visitor.tab()
    for target in ELSEWHERE:
        for name in ("store_code", "return_to", "redirect_uri", "next", "state", "error_description"):
            query = urlencode({"store_code": code, name: target})
            for address in (f"{here.home.gateway}/connect/tiktok?{query}", f"{here.callback}?{query}"):
                await page.goto(address)
    hosts = {urlsplit(url).netloc for url in (page.url, *visitor.asked)}
    assert hosts == {urlsplit(url).netloc for url in (here.home.gateway, here.home.sandbox)}


CALLBACK_NAMES = ("state", "code", "error", "error_description", "scopes", "store_code")


async def test_payloads_make_no_node_and_run_nothing(here: Town, visitor: Visitor) -> None:
    page = await visitor.tab()
    for path, names in (("/connect/tiktok", ("store_code",)), ("/auth/tiktok/callback", CALLBACK_NAMES)):
        for name in names:
            await page.goto(f"{here.home.gateway}{path}?{urlencode({name: 'a b'})}")
            plain = await nodes(page)
            for payload in PAYLOADS:
                await page.goto(f"{here.home.gateway}{path}?{urlencode({name: payload, 'other': payload})}")
                assert await nodes(page) == plain, (path, name, payload)
                assert await page.evaluate("window.ran") is None
                assert payload not in await page.content()
                assert "1610256383" not in await page.content()


async def test_the_policy_keeps_scripts_from_running_that_got_in(here: Town) -> None:
    somebody = await here.visitor()
    page = await somebody.tab()
    await page.goto(here.callback)

    async with page.expect_console_message(lambda message: "evil.example" in message.text):
        await page.evaluate(INTRUSION)

    assert await page.evaluate("window.ran") is None
    assert len(somebody.complaints) >= 2
    assert all("violates the following Content Security Policy directive" in one for one in somebody.complaints)
    await somebody.context.close()


async def test_a_page_can_be_read_by_everybody(here: Town, visitor: Visitor) -> None:
    page = await visitor.tab()
    await page.goto(here.callback)

    assert await page.locator("html").get_attribute("lang") == "en"
    assert await page.get_by_role("main").count() == 1
    assert await page.get_by_role("heading").all_inner_texts() == ["Connection failed"]
    assert await page.get_by_role("alert").inner_text() == "Error: Invalid state parameter (possible CSRF attack)"
