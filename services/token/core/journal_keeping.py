"""Keeps the database as new as the journal, and the journal no longer than it must be."""

import asyncio
from types import TracebackType
from typing import Self

import structlog

from libs.clock import Clock
from libs.errors import StorageUnavailable
from services.token.core.double_spend import DoubleSpendWatch
from services.token.core.journal import JOURNALS_LOOK, JournalCorrupt, OwnJournal, ReplayPort, replay, settle
from services.token.core.sight import Sight

COMPACT_EVERY = 3600.0  # seconds
TRY_AGAIN = 1.0  # seconds
LOOK_AGAIN = 15.0  # seconds, at a journal that only a person can mend
FILE_LOOK = 2.0  # seconds between looks whether the journal is still there
OTHERS = 2.0  # seconds for other replicas to replay theirs, before anything is refreshed

log = structlog.get_logger()


class JournalKeeper:
    """Works while its context is open.

    A failover or a restore cuts every connection to the database: whenever one is made again, the rows may have gone
    back in time, and whatever this process has journaled is held against them. So it is when single rows were put back.
    """

    def __init__(
        self, *, journal: OwnJournal, rows: ReplayPort, watch: DoubleSpendWatch, sight: Sight, clock: Clock
    ) -> None:
        self._journal = journal
        self._rows = rows
        self._watch = watch
        self._sight = sight
        self._clock = clock
        self._woken = asyncio.Event()
        self._intact = True

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._replay_when_woken()), asyncio.create_task(self._compact_hourly())]
        self._tasks.append(asyncio.create_task(self._look_for_rows_put_back()))
        self._tasks.append(asyncio.create_task(self._look_after_the_file()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def intact(self) -> bool:
        """Whether the journal could be held against the rows when it last had to be."""
        return self._intact

    @property
    def writable(self) -> bool:
        """Whether the journal could be written when that was last tried."""
        return self._journal.works

    async def take_over(self) -> None:
        """Give back what ended processes had been given; raise JournalCorrupt or StorageUnavailable."""
        async with self._journal.taking_over() as inheritance:
            await settle(inheritance, self._rows)
        await self._watch.inherited(inheritance)

    def wake(self) -> None:
        """Say that the database was out of sight."""
        self._woken.set()

    async def _replay_when_woken(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            mark = self._sight.mark
            try:
                await self._heal()
            except StorageUnavailable:
                await self._clock.sleep(TRY_AGAIN)
                self._woken.set()
            except Exception as error:  # noqa: BLE001 - whatever it is: a task that ends here is missed by nobody
                self._tell(error)
                await self._clock.sleep(LOOK_AGAIN)
                self._woken.set()
            else:
                self._intact = True
                if mark:
                    # They come back a moment apart, and each has tokens that only it knows of.
                    await self._clock.sleep(OTHERS)
                self._sight.regain(mark)

    async def _heal(self) -> None:
        """Bring the rows up to this journal, and to those of processes that have ended since."""
        await self.take_over()
        behind = await replay(await self._journal.entries(), self._rows)
        if behind:
            log.warning("the database had gone back in time: connections restored from the journal", count=behind)

    def _tell(self, error: Exception) -> None:
        self._intact = False
        why = str(error) if isinstance(error, JournalCorrupt) else type(error).__name__
        log.error("the journal does not open: refreshes may have to wait until it does", why=why)

    async def _look_for_rows_put_back(self) -> None:
        while True:
            await self._clock.sleep(JOURNALS_LOOK)
            try:
                if await self._rows.are_put_back():
                    self.wake()
            except Exception as error:  # noqa: BLE001 - as above: it has to look again
                log.warning("rows that were put back could not be looked for", error=type(error).__name__)

    async def _look_after_the_file(self) -> None:
        """Have a journal that was deleted written anew while nothing is refreshed: it may hold what no row has."""
        while True:
            await self._clock.sleep(FILE_LOOK)
            await self._journal.ready()

    async def _compact_hourly(self) -> None:
        while True:
            await self._clock.sleep(COMPACT_EVERY)
            try:
                await self._journal.compact()
            except JournalCorrupt:
                self.wake()
            except Exception as error:  # noqa: BLE001 - as above: the journal would grow for ever
                log.warning("the journal could not be compacted", error=type(error).__name__)
