"""TikTok's rate limit, shared by all replicas: never more calls in a window than allowed, and no fewer than needed.

A slot is held from before its call is sent until a window after its answer came: whatever the delays on the way, no
window of TikTok's own sees more. The log of slots is in the database, so a restart finds it as it was. Calls that wait
while slots are asked for are asked for together the next time; of those the ones with a person behind go first. While
there are slots enough, those for the next moment's calls are taken with them, and given back when no call comes.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol

from libs.clock import Clock
from libs.errors import StorageUnavailable
from libs.waiting import wait_at_most
from services.sync.adapters.pace import Pace
from services.sync.adapters.postgres.slot_log import EndedCall, Grant, Wanted
from services.sync.domain.items import GaveBack
from services.sync.domain.rate_limit import Lane, RateLimit

# Who waits for a slot holds a place meanwhile, so it is asked for sooner than what has no such hurry.
ASK_EVERY = 0.02  # seconds
# As many as calls of the last tenth of a second are taken ahead, and kept for little longer than that.
AHEAD, KEPT = 0.1, 0.25  # seconds

Slot = asyncio.Future[datetime]


class SlotLog(Protocol):
    """Where slots are taken from."""

    limit: RateLimit

    async def take(self, endpoint: str, wanted: Wanted, ended: Sequence[EndedCall]) -> Grant:
        """Note what has ended, then take what is free of what is wanted."""
        ...

    async def slow_down(self, endpoint: str, seconds: float) -> None:
        """Give no slot before so many seconds have passed."""
        ...


class SharedBudget:
    """Gives out slots, endpoint by endpoint."""

    def __init__(self, *, log: SlotLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._desks: dict[str, Desk] = {}
        self._is_stopping = False

    def slot(self, endpoint: str, lane: Lane) -> "HeldSlot":
        """Wait for a slot and hold it while the context is open; the call should leave at once.

        StorageUnavailable; GaveBack when the process stops, for a slot may be a window away.
        """
        if self._is_stopping:
            raise GaveBack
        desk = self._desks.get(endpoint)
        if desk is None:
            desk = self._desks[endpoint] = Desk(endpoint=endpoint, log=self._log, clock=self._clock)
        return HeldSlot(desk, lane)

    def waiting(self, endpoint: str, lane: Lane) -> int:
        """Return how many calls of a lane wait for a slot in this process."""
        desk = self._desks.get(endpoint)
        return desk.waiting(lane) if desk else 0

    async def slow_down(self, endpoint: str, seconds: float) -> None:
        """Give no slot for so many seconds, to nobody."""
        if endpoint in self._desks:
            self._desks[endpoint].give_back(kept=0.0)
        await self._log.slow_down(endpoint, seconds)

    def stop(self) -> None:
        """Give no more slots: who waits gives back what it works on."""
        self._is_stopping = True
        for desk in self._desks.values():
            desk.fail(GaveBack())

    async def close(self) -> None:
        """Tell what has ended; slots nobody tells the end of are held a while longer."""
        for desk in self._desks.values():
            await desk.close()


@dataclass(frozen=True)
class Spare:
    """A slot that was taken ahead."""

    held_until: datetime
    taken_at: float


@dataclass
class Desk:
    """One endpoint's queue in this process; its task runs only while somebody waits or something is untold."""

    endpoint: str
    log: SlotLog
    clock: Clock
    _waiting: dict[Lane, deque[Slot]] = field(default_factory=lambda: {lane: deque() for lane in Lane})
    _ended: list[tuple[datetime, float]] = field(default_factory=list)
    _spare: deque[Spare] = field(default_factory=deque)
    _unused: list[datetime] = field(default_factory=list)
    _asked_at: float = 0.0
    _handed_out: int = 0  # since then, to bulk
    _is_short: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _pace: Pace = field(default_factory=lambda: Pace(ASK_EVERY))
    _task: "asyncio.Task[None] | None" = None

    async def wait(self, lane: Lane) -> datetime:
        """Return, when a slot is given, until when it would be held; StorageUnavailable."""
        self.give_back(kept=KEPT)
        if self._spare:
            self._handed_out += 1
            return self._spare.popleft().held_until
        slot: Slot = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(slot)
        # Bulk that comes late finds nothing that those before it did not; a person may find the share kept for them.
        if lane is Lane.INTERACTIVE or len(self._waiting[lane]) == 1:
            self._news.set()
        self._wake()
        try:
            return await slot
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._waiting[lane].remove(slot)
            if slot.done() and not slot.cancelled() and not slot.exception():
                self.end(slot.result())
            raise

    def waiting(self, lane: Lane) -> int:
        """Return how many wait."""
        return len(self._waiting[lane])

    async def close(self) -> None:
        """Tell the ends that are untold and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self.give_back(kept=0.0)
        if self._is_untold():
            with suppress(StorageUnavailable):
                await self._ask(Wanted(interactive=0, bulk=0))

    def end(self, held_until: datetime) -> None:
        """Note that the call is over: its slot clears a window from now."""
        self._ended.append((held_until, self.clock.monotonic()))
        self._wake()

    def give_back(self, *, kept: float) -> None:
        """Give back what was taken ahead and has been kept for so many seconds."""
        taken_before = self.clock.monotonic() - kept
        while self._spare and self._spare[0].taken_at <= taken_before:
            self._unused.append(self._spare.popleft().held_until)

    def fail(self, error: Exception) -> None:
        """Raise the error to everybody who waits."""
        for lane in Lane:
            while slot := self._next(lane):
                slot.set_exception(error)

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        while self._is_wanted() or self._is_untold() or self._spare:
            if not self._is_wanted():
                # Nobody waits: ends are told in company, and soon enough to be no loss to other replicas.
                await self._nap(self.log.limit.longest_nap)
            await self._pace.turn()
            self._news.clear()
            self.give_back(kept=KEPT)
            wanted = self._wanted()
            try:
                grant = await self._ask(wanted)
            except Exception as error:  # noqa: BLE001 - it is raised where the slots are waited for
                self.fail(error)
                continue
            self._give(grant)
            self._is_short = (grant.interactive, grant.bulk) != (wanted.interactive, wanted.bulk)
            if self._is_short:
                await self._nap(min(grant.free_in, self.log.limit.longest_nap))

    def _wanted(self) -> Wanted:
        now, waiting = self.clock.monotonic(), {lane: len(self._waiting[lane]) for lane in Lane}
        lately = int(self._handed_out * AHEAD / max(AHEAD, now - self._asked_at))
        self._asked_at, self._handed_out = now, 0
        # Where slots are short, one that is not used at once is one that somebody else lacks.
        ahead = 0 if self._is_short else max(0, lately - len(self._spare))
        return Wanted(interactive=waiting[Lane.INTERACTIVE], bulk=waiting[Lane.BULK] + ahead)

    async def _ask(self, wanted: Wanted) -> Grant:
        """Ask for what is wanted; ends whose telling fails are not told again: their slots clear when the hold ends."""
        ended, self._ended = self._ended, []
        unused, self._unused = self._unused, []
        now = self.clock.monotonic()
        calls = [EndedCall(held_until=held_until, seconds_ago=now - at) for held_until, at in ended]
        calls += [EndedCall(held_until=held_until, seconds_ago=None) for held_until in unused]
        return await self.log.take(self.endpoint, wanted, calls)

    def _give(self, grant: Grant) -> None:
        for lane, count in ((Lane.INTERACTIVE, grant.interactive), (Lane.BULK, grant.bulk)):
            for _ in range(count):
                slot = self._next(lane)
                if slot:
                    self._handed_out += lane is Lane.BULK
                    slot.set_result(grant.held_until)
                else:
                    self._spare.append(Spare(grant.held_until, self._asked_at))

    def _next(self, lane: Lane) -> Slot | None:
        while self._waiting[lane]:
            slot = self._waiting[lane].popleft()
            if not slot.done():
                return slot
        return None

    def _is_wanted(self) -> bool:
        return any(self._waiting.values())

    def _is_untold(self) -> bool:
        return bool(self._ended or self._unused)

    async def _nap(self, seconds: float) -> None:
        await wait_at_most(self._news, seconds)


class HeldSlot:
    """A slot that is held while the context is open."""

    def __init__(self, desk: Desk, lane: Lane) -> None:
        self._desk = desk
        self._lane = lane

    async def __aenter__(self) -> None:
        self._held_until = await self._desk.wait(self._lane)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._desk.end(self._held_until)
