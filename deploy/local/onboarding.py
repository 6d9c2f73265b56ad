"""Brings the demo stores into being over HTTP: creates those that are missing, connects those that never were."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from deploy.local.person import AccountElsewhere, NotConnected, Person
from libs.runs.display import Display, Row

AT_ONCE = 16
CONNECTED = "CONNECTED"
# What somebody has disconnected stays so.
LEFT_ALONE = (CONNECTED, "DISCONNECTED")


def store_code(number: int) -> str:
    """Return the code of a demo store, which is the username of the sandbox account it is connected to."""
    return f"store_{number:04}"


class AdminError(Exception):
    """The gateway refused an operator's request; the text says which and why."""


@dataclass(frozen=True, kw_only=True)
class Admin:
    """The operators' routes of the gateway."""

    session: aiohttp.ClientSession
    gateway: str
    key: str = field(repr=False)

    async def statuses(self) -> Mapping[str, str]:
        """Return the connection status of every store by its code."""
        async with self.session.get(f"{self.gateway}/admin/stores", headers=self._headers()) as answer:
            body = await self._body(answer, "listing the stores", expected=(200,))
        return {store["storeCode"]: store["connectionStatus"] for store in body["data"]}

    async def create(self, code: str) -> None:
        """Create a store; one that exists stays as it is."""
        number = code.rpartition("_")[2]
        store = {"store_code": code, "store_name": f"Demo store {number}", "pic_name": f"Person in charge {number}"}
        async with self.session.post(f"{self.gateway}/admin/stores", json=store, headers=self._headers()) as answer:
            await self._body(answer, f"creating {code}", expected=(201, 409))

    def _headers(self) -> dict[str, str]:
        return {"X-API-KEY": self.key}

    async def _body(self, answer: aiohttp.ClientResponse, step: str, *, expected: tuple[int, ...]) -> Any:
        if answer.status not in expected:
            raise AdminError(
                f"{step} answered {answer.status} (request {answer.headers.get('X-Request-Id', 'unknown')})"
            )
        return await answer.json()


@dataclass(kw_only=True)
class Tally:
    """Counts what has been done, and shows it."""

    label: str
    total: int
    display: Display
    done: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def count(self, code: str, failure: str | None) -> None:
        """Count one store."""
        self.done += 1
        if failure is not None:
            self.failures[code] = failure
        self.show()

    def show(self) -> None:
        """Show the counts."""
        failed = len(self.failures)
        self.display.show([Row(label=self.label, total=self.total, processed=self.done, failed=failed)])


async def each(codes: Iterable[str], work: Callable[[str], Awaitable[None]], tally: Tally) -> Mapping[str, str]:
    """Do the work for every code, AT_ONCE at a time, and return why it failed for some."""
    waiting = iter(codes)

    async def take() -> None:
        for code in waiting:
            tally.count(code, await attempt(work, code))

    tally.show()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(take())
    return tally.failures


async def attempt(work: Callable[[str], Awaitable[None]], code: str) -> str | None:
    """Do the work for one code; return why it failed, None when it did not."""
    try:
        await work(code)
    except (AdminError, NotConnected) as error:
        return str(error)
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"no answer ({type(error).__name__})"
    return None


@dataclass(kw_only=True)
class Onboarded:
    """Why stores could not be connected, by code; and those whose account somebody has given to another owner."""

    failures: dict[str, str] = field(default_factory=dict)
    without_account: list[str] = field(default_factory=list)


async def onboard(admin: Admin, person: Person, stores: int, display: Display) -> Onboarded:
    """Make sure that the stores exist and are connected, as far as their accounts are free; return how it went."""
    wanted = [store_code(number) for number in range(1, stores + 1)]
    statuses = await admin.statuses()
    missing = [code for code in wanted if code not in statuses]
    came = Onboarded()
    if missing:
        creating = Tally(label="create stores", total=len(missing), display=display)
        came.failures.update(await each(missing, admin.create, creating))

    async def connect(code: str) -> None:
        try:
            await person.connect(code, code)
        except AccountElsewhere:
            came.without_account.append(code)

    loose = [code for code in wanted if statuses.get(code) not in LEFT_ALONE and code not in came.failures]
    if loose:
        connecting = Tally(label="connect", total=len(loose), display=display)
        came.failures.update(await each(loose, connect, connecting))
    return came
