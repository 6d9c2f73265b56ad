"""A person at a browser: asks the gateway for a way to TikTok, consents there, and comes back."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from libs.jitter import uniform

ATTEMPTS = 7
LONGEST_PAUSE = 20.0
TAKEN = 409


class NotConnected(Exception):
    """A store could not be connected; the text says at which step and why, without code or state."""


class AccountElsewhere(Exception):
    """The TikTok account is connected to another owner by now."""


class Unavailable(Exception):
    """A step could not be carried out now; text as of NotConnected."""

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class Person:
    """Connects stores through the same pages as everybody; each time with a browser that has no cookies yet."""

    gateway: str
    connector: aiohttp.BaseConnector

    async def connect(self, store: str, account: str) -> None:
        """Connect the store to the TikTok account, again while the suite is not available.

        Raise NotConnected, or AccountElsewhere.
        """
        for attempt in range(ATTEMPTS):
            try:
                return await self._try(store, account)
            except Unavailable as error:
                if attempt == ATTEMPTS - 1:
                    raise NotConnected(str(error)) from None
                pause = min(LONGEST_PAUSE, error.retry_after or 0.5 * 2**attempt)
            except (aiohttp.ClientError, TimeoutError) as error:
                # Their texts may hold a URL, and with it a code.
                if attempt == ATTEMPTS - 1:
                    raise NotConnected(f"no answer ({type(error).__name__})") from None
                pause = 0.5 * 2**attempt
            await asyncio.sleep(pause * uniform(0.8, 1.2))
        return None

    async def _try(self, store: str, account: str) -> None:
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of a host that is an IP address
        timeout = aiohttp.ClientTimeout(60)
        async with aiohttp.ClientSession(
            connector=self.connector, connector_owner=False, cookie_jar=jar, timeout=timeout
        ) as browser:
            back = await self._consent(browser, await self._open(browser, store), account)
            async with browser.get(back, allow_redirects=False) as answer:
                if answer.status == TAKEN:
                    raise AccountElsewhere
                check(answer, 200, "coming back from TikTok")

    async def _open(self, browser: aiohttp.ClientSession, store: str) -> Mapping[str, Any]:
        url, headers = f"{self.gateway}/connect/tiktok", {"Accept": "application/json"}
        async with browser.get(url, params={"store_code": store}, headers=headers) as answer:
            check(answer, 200, "going to TikTok's consent page")
            page: Mapping[str, Any] = await answer.json()
        return page

    async def _consent(self, browser: aiohttp.ClientSession, asked: Mapping[str, Any], account: str) -> str:
        form = [("ticket", asked["ticket"]), ("account", account), ("decision", "authorize")]
        form += [("scopes", scope) for scope in asked["scopes"]]
        async with browser.post(asked["consent_url"], data=form, allow_redirects=False) as answer:
            check(answer, 303, "consenting at TikTok")
            return answer.headers["Location"]


def check(answer: aiohttp.ClientResponse, expected: int, step: str) -> None:
    """Raise Unavailable or NotConnected unless the answer has the expected status."""
    if answer.status == expected:
        return
    request = answer.headers.get("X-Request-Id")
    text = f"{step} answered {answer.status}" + (f" (request {request})" if request else "")
    if answer.status == 429 or answer.status >= 500:
        after = answer.headers.get("Retry-After", "")
        raise Unavailable(text, float(after) if after.isdecimal() else None)
    raise NotConnected(text)
