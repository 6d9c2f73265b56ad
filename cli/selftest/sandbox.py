"""The sandbox behind a deployment, over HTTP: its consent page, its faults for single accounts, and its ledger."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from libs.rpc.listen import is_local
from libs.tiktok.address import origin_of

PATIENCE = aiohttp.ClientTimeout(total=60.0)
PAGE = 500


class NoSandbox(Exception):
    """What stands behind the deployment is no sandbox that may be played with; the text says what it is."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How often refresh tokens were rotated, and how often dead ones were presented."""

    refreshes: int
    repeats: int


class Sandbox:
    """A TikTok to play with; only calls of the accounts that are named here are disturbed."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def free_accounts(self, count: int) -> list[str]:
        """Return the names of so many accounts that nobody has connected, newest first; make them if need be."""
        found = await self._unconnected()
        if len(found) < count:
            total = (await self._json("GET", "/sandbox/health"))["accounts"]
            await self._json("POST", "/sandbox/accounts", {"count": total + count})
            found = await self._unconnected()
        return found[-count:]

    async def consent(self, authorize_url: str, account: str) -> Mapping[str, str]:
        """Let the owner of an account agree to all that is asked; return what comes back to the redirect address."""
        async with self._session.get(authorize_url, headers={"Accept": "application/json"}) as answer:
            page = await answer.json()
        form = [("ticket", page["ticket"]), ("account", account), ("decision", "authorize")]
        form += [("scopes", scope) for scope in page["scopes"]]
        async with self._session.post(page["consent_url"], data=form, allow_redirects=False) as answer:
            return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))

    async def fault(self, kind: str, account: str, **more: object) -> None:
        """Script a fault for the next token calls of an account."""
        await self._json("POST", "/sandbox/faults", {"kind": kind, "endpoint": "token", "open_id": account, **more})

    async def forget_faults(self, open_ids: set[str]) -> None:
        """Take out what is still to come for accounts."""
        pending = (await self._json("GET", "/sandbox/faults"))["faults"]
        for fault in pending:
            if fault["open_id"] in open_ids:
                async with self._session.delete(f"/sandbox/faults/{fault['number']}"):
                    pass

    async def counted(self, account: str) -> Counted:
        """Return what has become of an account's refresh tokens so far."""
        dead = (await self._json("GET", f"/sandbox/ledger/dead?open_id={account}"))["tokens"]
        return Counted(
            refreshes=sum(grant["refreshes"] for grant in await self._grants(account)),
            repeats=sum(one["presented"] for one in dead if one["what"] == "refresh"),
        )

    async def is_ended(self, account: str) -> bool:
        """Return whether no grant of an account works any more."""
        return not any(grant["live_refresh_token"] for grant in await self._grants(account))

    async def _grants(self, account: str) -> list[dict[str, Any]]:
        grants: list[dict[str, Any]] = (await self._json("GET", f"/sandbox/ledger/accounts/{account}"))["grants"]
        return grants

    async def _unconnected(self) -> list[str]:
        total, names = (await self._json("GET", "/sandbox/health"))["accounts"], list[str]()
        for offset in range(0, total, PAGE):
            page = await self._json("GET", f"/sandbox/accounts?offset={offset}&limit={PAGE}")
            names += [one["username"] for one in page["accounts"] if not one["live_grants"]]
        return names

    async def _json(self, method: str, path: str, body: object = None) -> Any:
        async with self._session.request(method, path, json=body) as answer:
            answer.raise_for_status()
            return await answer.json()


@asynccontextmanager
async def open_sandbox(authorize_url: str) -> AsyncIterator[Sandbox]:
    """Yield the sandbox that a consent link leads to; raise NoSandbox, and ask nobody outside of this machine."""
    parts = urlsplit(authorize_url)
    if not is_local(f"{parts.hostname}:{parts.port}"):
        raise NoSandbox(f"its consent page is at {parts.hostname}, not on this machine")
    async with aiohttp.ClientSession(base_url=origin_of(authorize_url), timeout=PATIENCE) as session:
        try:
            async with session.get("/sandbox/health") as answer:
                is_sandbox = answer.status == 200 and "accounts" in await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            is_sandbox = False
        if not is_sandbox:
            raise NoSandbox(f"nothing at {origin_of(authorize_url)} answers as the sandbox does")
        yield Sandbox(session)
