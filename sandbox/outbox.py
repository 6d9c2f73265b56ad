"""Webhooks on their way: signed, posted, tried again with back-off, and written down."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

import aiohttp

from sandbox.clock import DAY_SECONDS, SandboxClock
from sandbox.notices import Notice

LOG_KEPT = 10_000
PATIENCE_SECONDS = 3  # real ones; the Shop documents three
SHOP_BACKOFF = (120.0, 1_800.0, 10_800.0, 43_200.0)
LOGIN_FIRST_BACKOFF = 60.0
LOGIN_GIVES_UP = 3 * DAY_SECONDS
State = Literal["waiting", "delivered", "given_up", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Handling:
    """How a webhook is sent; `delay` in sandbox seconds, `signed_age` in seconds of the client's watch."""

    signature: Literal["right", "wrong", "absent"] = "right"
    signed_age: float = 0
    delay: float = 0
    copies: int = 1
    retry: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook goes and how it is signed: a header made from the body and a time in Unix seconds."""

    url: str
    header: str
    sign: Callable[[bytes, int], str]


@dataclass(slots=True)
class Delivery:
    """One webhook on its way, with every attempt so far."""

    number: int
    notice: Notice
    handling: Handling
    state: State = "waiting"
    attempts: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return its row in the log."""
        notice = self.notice
        return {
            "number": self.number,
            "provider": notice.provider,
            "event": notice.event,
            "about": notice.about,
            "state": self.state,
            "body": notice.body.decode(errors="replace"),
            "attempts": self.attempts,
        }


def backoffs(notice: Notice) -> Iterator[float]:
    """Yield the waits between attempts, in sandbox seconds: four of the Shop's, or doubling for 72 hours."""
    if notice.provider == "shop":
        yield from SHOP_BACKOFF
        return
    wait, total = LOGIN_FIRST_BACKOFF, 0.0
    while total + wait <= LOGIN_GIVES_UP:
        yield wait
        total += wait
        wait *= 2


class Outbox:
    """Sends webhooks in the background; the log keeps the newest."""

    def __init__(self, *, clock: SandboxClock, target: Callable[[Notice], Target | None]) -> None:
        self._clock = clock
        self._target = target
        self._log: deque[Delivery] = deque(maxlen=LOG_KEPT)
        self._numbers = count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None

    def has_target(self, notice: Notice) -> bool:
        """Say whether there is anywhere to send it."""
        return self._target(notice) is not None

    def send(self, notices: list[Notice], handling: Handling | None = None) -> list[int]:
        """Send webhooks one after the other and return their numbers in the log; nothing without a target."""
        handling = handling or Handling()
        wanted = [notice for notice in notices if self.has_target(notice) for _ in range(handling.copies)]
        deliveries = [Delivery(next(self._numbers), notice, handling) for notice in wanted]
        self._log.extend(deliveries)
        if deliveries:
            self._start(self._first_round(deliveries, handling.delay))
        return [delivery.number for delivery in deliveries]

    def log(self) -> list[dict[str, Any]]:
        """Return every delivery kept, oldest first."""
        return [delivery.as_json() for delivery in self._log]

    def clock_moved(self) -> None:
        """Look again who has waited long enough."""
        self._moved.set()
        self._moved = asyncio.Event()

    def clear(self) -> None:
        """Withdraw what is on its way and forget the log."""
        for task in self._tasks:
            task.cancel()
        for delivery in self._log:
            if delivery.state == "waiting":
                delivery.state = "withdrawn"
        self._log.clear()

    async def close(self) -> None:
        """Stop sending."""
        self.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _first_round(self, deliveries: list[Delivery], delay: float) -> None:
        await self._until(self._clock.now() + delay)
        for delivery in deliveries:
            await self._attempt(delivery)
            if delivery.state == "waiting" and delivery.handling.retry:
                self._start(self._retry(delivery))
            elif delivery.state == "waiting":
                delivery.state = "given_up"

    async def _retry(self, delivery: Delivery) -> None:
        for wait in backoffs(delivery.notice):
            await self._until(self._clock.now() + wait)
            await self._attempt(delivery)
            if delivery.state != "waiting":
                return
        delivery.state = "given_up"

    async def _until(self, moment: float) -> None:
        while (left := moment - self._clock.now()) > 0:
            moved = self._moved
            with suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), None if self._clock.frozen else left / self._clock.scale)

    async def _attempt(self, delivery: Delivery) -> None:
        target = self._target(delivery.notice)
        if target is None:
            delivery.state = "given_up"
            return
        outcome = await self._post(target, delivery)
        delivery.attempts.append({"at": self._clock.now(), **outcome})
        if outcome.get("status") == 200:
            delivery.state = "delivered"

    async def _post(self, target: Target, delivery: Delivery) -> dict[str, Any]:
        body, headers = delivery.notice.body, {"Content-Type": "application/json"}
        if delivery.handling.signature != "absent":
            signature = target.sign(body, int(time.time() - delivery.handling.signed_age))
            headers[target.header] = _spoilt(signature) if delivery.handling.signature == "wrong" else signature
        self._session = self._session or aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_SECONDS))
        try:
            async with self._session.post(target.url, data=body, headers=headers, allow_redirects=False) as answer:
                return {"status": answer.status}
        except (aiohttp.ClientError, TimeoutError) as error:
            return {"error": type(error).__name__}


def _spoilt(signature: str) -> str:
    return signature[:-1] + ("0" if signature[-1] != "0" else "1")
