"""Faults of the way to TikTok and back over HTTP: somebody else's consent, addresses that lead away, payloads."""

import asyncio
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from services.gateway.routes.connect import CALLBACK, CONNECT, NONCE, SHOP_CALLBACK
from tests.faults.case import case, expect
from tests.faults.gateway_processes import GatewayReplica
from tests.faults.gateways import suite
from tests.faults.lab import Lab

HUB = "hub.example"
PLAIN_COOKIE, HOST_COOKIE = NONCE.name, f"__Host-{NONCE.name}"
STRANGE: tuple[str, ...] = (
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "javascript:alert(1)",
)
STRANGE += ("\r\nLocation: https://evil.example", "https://127.0.0.1@evil.example", "data:text/html,evil", "\\\\evil")
NAMES = ("return_to", "redirect_uri", "next", "url", "state", "code", "error", "error_description", "store_code")
PAYLOADS = (
    "<script>evil()</script>",
    '"><img src=x onerror=evil()>',
    "</title></style><svg/onload=evil()>",
    "'-evil()-'",
    "javascript:evil()",
    "<iframe srcdoc='<script>evil()</script>'>",
    "<base href=//evil.example><meta http-equiv=refresh content=0;url=//evil.example>",
    "{{ self.evil }}{% evil %}",
    "\u2028<p/onclick=evil()>",
    "&lt;script&gt;evil()&lt;/script&gt;",
)
SAFE: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
POLICY = re.compile(
    r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class Tags(HTMLParser):
    """What a page is made of: its elements with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element."""
        self.found.append((tag, tuple(attrs)))


async def created(gateway: GatewayReplica, code: str) -> None:
    """Create a store."""
    new = {"store_code": code, "store_name": "<script>evil()</script>", "pic_name": "Me"}
    (await gateway.admin.post("/admin/stores", json=new)).raise_for_status()


async def begun(lab: Lab, browser: httpx.AsyncClient, code: str) -> str:
    """Open a store's connect link and return where it leads."""
    answer = await browser.get(CONNECT, params={"store_code": code})
    expect(answer.status_code == 302, f"{answer.status_code}: {answer.text[:300]}")
    lab.made.add(parse_qs(urlsplit(answer.headers["location"]).query)["state"][0])
    lab.made.update(morsel.value for morsel in SimpleCookie(answer.headers["set-cookie"]).values())
    return str(answer.headers["location"])


async def consented(lab: Lab, browser: httpx.AsyncClient, code: str) -> str:
    """Let the owner of a store consent, and return the path TikTok sends the browser back to."""
    lab.accounts[code] = lab.sandbox.next_account()
    came_back = await asyncio.to_thread(lab.sandbox.consent, await begun(lab, browser, code), lab.accounts[code])
    return f"{CALLBACK}?{urlencode(came_back)}"


@case(
    "S05",
    fault="the callback address of one browser opened by others: without a cookie, with their own, with planted ones",
    expected="400 each time, over plain http and behind https; no call to TikTok; its own browser still connects",
)
async def login_forced(lab: Lab) -> str:
    (gateway,) = await suite(lab, "gateway")
    told = [await forced(lab, gateway, "shop-1"), await forced(lab, gateway, "shop-2", Host=HUB)]
    return "; ".join(told)


async def forced(lab: Lab, gateway: GatewayReplica, code: str, **headers: str) -> str:
    """Let others open what only one browser may, then that one."""
    await created(gateway, code)
    name = HOST_COOKIE if headers else PLAIN_COOKIE
    attacker, with_own, bare = (gateway.visitor(**headers) for _ in range(3))
    callback, before = await consented(lab, attacker, code), await lab.calls()
    await begun(lab, with_own, code)
    mine, own = (nonce_of(browser, name) for browser in (attacker, with_own))
    jars = ["", f"{name}={own}", f"{name}=planted", f"{name}={mine}; {name}={own}", f"other_{name}={mine}"]
    jars.append(f"{PLAIN_COOKIE if headers else HOST_COOKIE}={mine}")
    answers = [await bare.get(callback, headers={"Cookie": jar}) for jar in jars]
    seen = [answer.status_code for answer in answers]
    expect(set(seen) == {400} and all("possible CSRF" in answer.text for answer in answers), seen)
    expect(await lab.calls() == before, "TikTok was asked for a stranger")
    expect(not await lab.sql("SELECT 1 FROM connections WHERE owner_id = $1", code), "a stranger connected it")
    last = await bare.get(callback, headers={"Cookie": f"{name}={mine}"})
    expect(last.status_code == 200, f"its own browser: {last.status_code}")
    return f"{name}: {len(seen)} other jars 400, 0 calls; its own 200"


def nonce_of(browser: httpx.AsyncClient, name: str) -> str:
    """Return the nonce a browser was given."""
    return next(cookie.value or "" for cookie in browser.cookies.jar if cookie.name == name)


@case(
    "S06",
    fault="addresses elsewhere in every parameter of the consent routes, in Host and in forwarding headers",
    expected="every Location is TikTok's consent page with the app's own redirect, no answer names another place",
)
async def led_away(lab: Lab) -> str:
    (gateway,) = await suite(lab, "gateway")
    await created(gateway, "shop-1")
    stranger, answers = gateway.visitor(), []
    for target in STRANGE:
        for name in NAMES:
            told = {"store_code": "shop-1", name: target}
            answers += [await stranger.get(path, params=told) for path in (CONNECT, "/auth/url", CALLBACK)]
    for header in ("Host", "X-Forwarded-Host", "Forwarded", "X-Forwarded-Proto", "Origin", "Referer"):
        value = "host=evil.example;proto=https" if header == "Forwarded" else "evil.example"
        told = {"store_code": "shop-1"}
        answers += [await stranger.get(path, params=told, headers={header: value}) for path in (CONNECT, "/auth/url")]
    led = [way for answer in answers if (way := way_of(answer))]
    # The states are no secret here: /auth/url tells them, as it should.
    lab.made.update({nonce for answer in answers for nonce in answer.cookies.values()} - {"", '""'})
    expect(all(way.startswith(lab.sandbox.authorize_url) for way in led), led)
    backs = {parse_qs(urlsplit(way).query)["redirect_uri"][0] for way in led}
    expect(backs == {lab.sandbox.redirect_uri}, backs)
    named = [answer.url for answer in answers if "evil" in f"{answer.headers} {answer.text}"]
    expect(not named, named[:3])
    return f"{len(answers)} requests: {len(led)} led to TikTok and back to the app, none elsewhere"


def way_of(answer: httpx.Response) -> str:
    """Return where an answer leads, empty when nowhere."""
    if answer.is_redirect:
        return str(answer.headers["location"])
    is_json = answer.headers["content-type"].startswith("application/json")
    return str(answer.json()["data"]["authUrl"]) if is_json and answer.is_success else ""


@case(
    "S07",
    fault="markup in every parameter of the pages, in a store's name, and in TikTok's error and its description",
    expected="no page has an element more, or a word of it; nothing may run, load, frame or be kept",
)
async def markup(lab: Lab) -> str:
    (gateway,) = await suite(lab, "gateway")
    await created(gateway, "shop-1")
    browser, pages = gateway.visitor(), []
    for path in (CONNECT, CALLBACK, SHOP_CALLBACK):
        for name in NAMES:
            plain = Tags((await browser.get(path, params={name: "a b"})).text).found
            for payload in PAYLOADS:
                page = await browser.get(path, params={name: payload})
                expect(Tags(page.text).found == plain, f"{path} {name}={payload}: {page.text[-600:]}")
                pages.append(page)
    denied = {"state": "", "error": PAYLOADS[0], "error_description": PAYLOADS[1]}
    denied["state"] = parse_qs(urlsplit(await begun(lab, browser, "shop-1")).query)["state"][0]
    pages.append(await browser.get(CALLBACK, params=denied))
    expect("was declined" in pages[-1].text, pages[-1].text[-600:])
    pages.append(await browser.get(await consented(lab, browser, "shop-1")))
    expect(pages[-1].status_code == 200, pages[-1].text[-600:])
    for page in pages:
        expect("evil" not in page.text, page.text[-600:])
        expect(SAFE.items() <= dict(page.headers).items(), page.headers)
        expect(bool(POLICY.fullmatch(page.headers["content-security-policy"])), page.headers)
    return f"{len(pages)} pages, {len(PAYLOADS)} payloads in {len(NAMES)} parameters: no element more"
