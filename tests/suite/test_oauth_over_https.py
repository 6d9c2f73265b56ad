"""A person connects a store at a public address, behind something that speaks TLS."""

from pathlib import Path

from tests.browsers import ARGUMENTS, chromium
from tests.faults.front import Authority, Flaw, front
from tests.suite.browsing import Town, Visitor, consent, state_of, town

HUB = "https://hub.example"


async def test_the_cookie_is_bound_to_its_host_and_to_https(tmp_path: Path) -> None:
    context = Authority(tmp_path).context(Flaw.NONE)
    async with (
        town(TIKTOK_REDIRECT_URI=f"{HUB}/auth/tiktok/callback") as here,
        front(str(here.home.ports["PORT"]), context) as proxy,
    ):
        visitor = await visitor_of_the_hub(here, proxy.url)
        code = await here.store()
        page = await visitor.tab()
        await page.goto(f"{HUB}/connect/tiktok?store_code={code}")
        (cookie,) = await visitor.nonces()
        answer = await consent(page, here.account())
        assert (answer.status, answer.url.startswith(HUB)) == (200, True)
        assert await here.standing(code) == "CONNECTED"
        assert (cookie["name"], cookie["domain"]) == ("__Host-tokhub_oauth", "hub.example")
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (
            True,
            True,
            "Lax",
            "/",
        )
        assert (await visitor.nonces(), visitor.complaints) == ([], [])
        assert await another_jar(here, proxy.url, code) == 400


async def visitor_of_the_hub(here: Town, proxy: str) -> Visitor:
    """Return somebody to whom the hub's name leads to the proxy."""
    leads_there = f"--host-resolver-rules=MAP hub.example:443 {proxy.removeprefix('https://')}"
    browser = await here.playwright.chromium.launch(executable_path=chromium(), args=[*ARGUMENTS, leads_there])
    return Visitor(await browser.new_context(ignore_https_errors=True))


async def another_jar(here: Town, proxy: str, code: str) -> int:
    """Return how a state is answered in another browser than its own."""
    theirs, victim = [await visitor_of_the_hub(here, proxy) for _ in range(2)]
    begun = await theirs.tab()
    await begun.goto(f"{HUB}/connect/tiktok?store_code={code}")
    page = await victim.tab()
    answer = await page.goto(f"{HUB}/auth/tiktok/callback?code=c&state={state_of(begun.url)}")
    assert answer is not None
    return answer.status
