"""A TikTok that rotates strictly, counts every token it is shown, and can be told to fail next."""

import asyncio
from collections.abc import Callable
from itertools import count

from libs.clock import SystemClock
from libs.secret import Secret
from services.token.adapters.login_kit import SCOPES_ASKED
from services.token.core.provider import Outcome, Refused
from services.token.domain.connection import Provider
from services.token.domain.grant import Grant


class QuickClock(SystemClock):
    """Real time, short waits."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


class CountingProvider:
    """Keeps ProviderPort's promises: a refresh kills the token it was given before it answers."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._alive: dict[str, str] = {}
        self.presented: list[str] = []
        self.dead_presented: list[str] = []
        self.verifiers: list[str] = []
        self.redirects: list[str] = []
        self.refreshes = 0
        self.revoked: list[str] = []
        self.fail_before: list[Outcome] = []
        self.fail_after: list[Outcome] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self.life = 7200
        self.scopes: tuple[str, ...] = SCOPES_ASKED
        self.bend: Callable[[Grant], Grant] = lambda grant: grant
        self.on_exchange: Callable[[str], str] = lambda code: f"account of {code}"

    def mint(self, account: str) -> Grant:
        number = next(self._numbers)
        refresh = f"rft.{account}.{number}"
        self._alive[refresh] = account
        return Grant(
            provider=Provider.LOGIN_KIT,
            account_id=account,
            access_token=Secret(f"act.{account}.{number}"),
            access_seconds=self.life,
            access_given=self.life,
            refresh_token=Secret(refresh),
            refresh_seconds=15_552_000,
            refresh_given=15_552_000,
            scopes=self.scopes,
        )

    def is_alive(self, refresh_token: Secret) -> bool:
        return refresh_token.reveal() in self._alive

    @property
    def revocable(self) -> bool:
        return True

    def authorize_url(self, state: str, verifier: str, redirect_uri: str) -> str:
        return f"https://tiktok.invalid/authorize?state={state}&verifier={verifier}&redirect_uri={redirect_uri}"

    async def exchange(self, code: Secret, verifier: str, redirect_uri: str) -> Grant:
        if self.fail_before:
            raise self.fail_before.pop(0)
        self.verifiers.append(verifier)
        self.redirects.append(redirect_uri)
        self.arrived.set()
        await self.gate.wait()
        await asyncio.sleep(0)
        return self.mint(self.on_exchange(code.reveal()))

    async def refresh(self, refresh_token: Secret) -> Grant:
        self.presented.append(refresh_token.reveal())
        if self.fail_before:
            raise self.fail_before.pop(0)
        account = self._alive.pop(refresh_token.reveal(), None)
        if account is None:
            self.dead_presented.append(refresh_token.reveal())
            raise Refused("invalid_grant")
        self.refreshes += 1
        grant = self.mint(account)
        self.arrived.set()
        await self.gate.wait()
        await asyncio.sleep(0.01)
        if self.fail_after:
            raise self.fail_after.pop(0)
        return self.bend(grant)

    async def revoke(self, access_token: Secret) -> None:
        self.revoked.append(access_token.reveal())
