"""How many calls of a job this replica has under way: a place is held for a call, not for what is done around it.

While some items have their calls under way, others get their tokens or are stored, so that no place stays empty for it.
Calls that a person waits for have places of their own: a run over many stores fills all others.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from heapq import heappop, heappush
from itertools import count
from types import TracebackType

from services.sync.domain.items import Claim
from services.sync.domain.jobs import Job
from services.sync.domain.rate_limit import Lane

MOST_URGENT = 10


class Places:
    """Places by job, for people and for runs over many stores."""

    def __init__(self, limits: Mapping[Job, int]) -> None:
        self._bulk = {job: Turns(limit) for job, limit in limits.items()}
        self._urgent = {job: Turns(min(limit, MOST_URGENT)) for job, limit in limits.items()}

    def of(self, claim: Claim) -> AbstractAsyncContextManager[None]:
        """Wait for a place and hold it while the context is open.

        A store that is begun goes on before another begins: a run ends with few stores open, not with few at work.
        """
        places = self._urgent if claim.lane is Lane.INTERACTIVE else self._bulk
        return places[claim.key.job].take(claim.pages)


class Turns:
    """So many at a time; of those who wait, whoever has come furthest is next, then who came first."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    def take(self, progress: int) -> "Turn":
        """Wait for a turn and have it while the context is open."""
        return Turn(self, progress)

    async def wait(self, progress: int) -> None:
        """Wait for a turn."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (-progress, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.pass_on()
            raise

    def pass_on(self) -> None:
        """Let somebody else have it."""
        while self._waiting:
            *_, turn = heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Turn:
    """A turn that is had while the context is open."""

    def __init__(self, turns: Turns, progress: int) -> None:
        self._turns = turns
        self._progress = progress

    async def __aenter__(self) -> None:
        await self._turns.wait(self._progress)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turns.pass_on()
