"""The journal of one process: many entries a flush, taken over from processes that died, kept short."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import structlog

from libs.clock import Clock
from libs.errors import ServerMisconfig, StorageUnavailable
from libs.vault.ring import KeyRing
from services.token.adapters.journal.entries import read_entry, write_entry
from services.token.adapters.journal.file import JournalFile, Record
from services.token.adapters.journal.ownership import (
    SUFFIX,
    AbandonedFile,
    Turn,
    abandoned,
    flush_directory,
    sweep,
)
from services.token.adapters.journal.records import bodies_in, database_of, read_bodies
from services.token.adapters.journal.waiting import WaitingRecords
from services.token.core.journal import (
    Entry,
    Inheritance,
    JournalCorrupt,
    JournalSize,
    VerifiedJournal,
    contradictory,
    newest,
)

KEPT = timedelta(days=7)  # a database restored from an older copy than this needs more than the journal
LOOK_EVERY = 0.1  # seconds, while another process takes over
CHECK_EVERY = 1.0  # seconds between looks, before refreshes, whether the file is still there
PATIENCE = 2.0  # seconds for a disk to answer, before it counts as one that cannot be written
SLACK = 1_000  # records beyond twice the connections before a file is written anew

Result = TypeVar("Result")

log = structlog.get_logger()


class Mode(StrEnum):
    """What happens when the journal cannot be written."""

    REQUIRED = "required"
    BEST_EFFORT = "best_effort"
    OFF = "off"


class NoJournal:
    """Implements OwnJournal by keeping nothing: JOURNAL_MODE=off."""

    async def keep(self, entry: Entry) -> bool:
        """Return False."""
        del entry
        return False

    async def ready(self) -> bool:
        """Return True."""
        return True

    @property
    def works(self) -> bool:
        """True."""
        return True

    @asynccontextmanager
    async def taking_over(self) -> AsyncIterator[Inheritance]:
        """Yield nothing."""
        yield Inheritance(entries=(), dead=())

    async def entries(self) -> Sequence[Entry]:
        """Return nothing."""
        return ()

    async def compact(self) -> None:
        """Do nothing."""

    async def verify(self) -> VerifiedJournal:
        """Return that there is nothing."""
        return VerifiedJournal()

    def size(self) -> JournalSize:
        """Return nothing."""
        return JournalSize()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a process journals, under which name, and for which database."""

    directory: Path
    name: str
    database: UUID


def databases_in(directory: Path) -> set[UUID]:
    """Return the ids of the databases that the files of a directory belong to; raise JournalCorrupt."""
    found = (database_of(path) for path in directory.glob(f"*{SUFFIX}"))
    return {database for database in found if database}


class FileJournal:
    """Implements OwnJournal in a directory; one thread does all file work, in order."""

    def __init__(self, place: Place, *, ring: KeyRing, clock: Clock, mode: Mode) -> None:
        self._directory = place.directory
        self._place = place
        self._ring = ring
        self._clock = clock
        self._required = mode is Mode.REQUIRED
        self._waiting = WaitingRecords()
        self._flushing: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._works = True
        self._check_at = 0.0
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    async def __aenter__(self) -> Self:
        try:
            self._file = await self._in_thread(self._open)
        except OSError as error:
            where = f"JOURNAL_DIR {self._directory} cannot be written: {os.strerror(error.errno or 0)}"
            raise ServerMisconfig(where) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._flushing:
            await self._flushing
        await self._in_thread(self._close)
        self._turn.close()
        self._worker.shutdown()

    async def keep(self, entry: Entry) -> bool:
        """Return True once the entry is on the disk; entries that arrive meanwhile share the next flush.

        A disk that hangs keeps the newest for later, and nobody waiting: there is still the row to be saved.
        """
        kept = self._waiting.add(record_of(entry))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="journal flush")
        return await self._answers(kept) and kept.result()

    async def ready(self) -> bool:
        """Return whether a refresh may begin; a journal that failed is tried until it works again."""
        now = self._clock.monotonic()
        if not self._works or now >= self._check_at:
            self._check_at = now + CHECK_EVERY
            self._looking = self._looking or asyncio.create_task(self._look(), name="journal look")
            await self._answers(self._looking)
        return self._works or not self._required

    @asynccontextmanager
    async def taking_over(self) -> AsyncIterator[Inheritance]:
        """Yield what ended processes left, their entries now kept in this one's file; theirs go when all went well.

        Raises JournalCorrupt for a file that is damaged elsewhere than at its end. Processes of one directory take
        turns: who gets here second must not serve before what the first has found is in the rows.
        """
        await self._own_turn()
        try:
            left = await self._in_thread(self._left)
            try:
                yield await self._in_thread(self._inherit, left)
                await self._in_thread(self._remove, left)
            finally:
                for file in left:
                    file.close()
        finally:
            self._turn.pass_on()

    async def entries(self) -> Sequence[Entry]:
        """Return the newest entry of each connection in this process's file."""
        return await self._in_thread(lambda: newest(self._own()))

    async def compact(self) -> None:
        """Write the file anew when most of it is history."""
        await self._in_thread(self._compact)

    async def verify(self) -> VerifiedJournal:
        """Open every record of this process's file; StorageUnavailable when it cannot be read."""
        return await self._in_thread(self._verify)

    @property
    def works(self) -> bool:
        """Whether it could be written when that was last tried."""
        return self._works

    def size(self) -> JournalSize:
        """Return how large this process's file is."""
        waiting = self._waiting
        return JournalSize(
            bytes=self._file.bytes, records=self._file.records, pending=len(waiting), dropped=waiting.dropped
        )

    async def _own_turn(self) -> None:
        if self._turn.take():
            return
        log.warning("another process takes over journals: waiting for it", directory=str(self._directory))
        while not self._turn.take():
            await self._clock.sleep(LOOK_EVERY)

    async def _flush(self) -> None:
        while self._waiting:
            batch = self._waiting.take()
            self._works = kept = await self._in_thread(self._append, list(batch))
            for future in batch.values():
                if not future.done():
                    future.set_result(kept)
        self._flushing = None

    async def _look(self) -> None:
        try:
            self._works = await self._in_thread(self._check)
        finally:
            self._looking = None

    async def _answers(self, work: "asyncio.Future[Any]") -> bool:
        """Return whether the disk does some work within the time it is given; what it does later still counts."""
        done, _ = await asyncio.wait({work}, timeout=PATIENCE)
        if not done:
            if self._works:
                log.error("journal disk does not answer", directory=str(self._directory), waited=PATIENCE)
            self._works = False
        return bool(done)

    async def _in_thread(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, call, *arguments)

    def _open(self) -> JournalFile:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._turn = Turn(self._directory)
        file = self._new_file()
        file.publish()
        return file

    def _close(self) -> None:
        # Which file that is may change until the thread comes to it.
        self._file.close()

    def _new_file(self) -> JournalFile:
        return JournalFile(self._directory, self._place.name, ring=self._ring, database=self._place.database)

    def _append(self, records: Sequence[Record]) -> bool:
        try:
            self._file.append(records)
            self._keep_in_place()
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must get on to the database
            self._tell(error)
            return False
        return True

    def _tell(self, error: Exception) -> None:
        log.error("journal cannot be written", directory=str(self._directory), error=reason_of(error))

    def _keep_in_place(self) -> None:
        """Write all of a file that was deleted or moved away anew: it can be read for as long as it is open.

        Raises OSError where that cannot be written, JournalCorrupt for damage in what is to be written.
        """
        if self._file.in_place:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._replace(newest(self._own()))
        log.error("journal was deleted or moved away: it has been written anew", path=str(self._file.path))

    def _verify(self) -> VerifiedJournal:
        try:
            return VerifiedJournal(records=self._file.records, unreadable=tuple(self._file.unreadable()))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise StorageUnavailable(f"The journal {self._file.path} cannot be read: {reason}.") from None

    def _check(self) -> bool:
        """Return whether it can be written; what has worked until now is only looked for."""
        worked = self._works
        try:
            self._keep_in_place()
            if not worked:
                self._file.probe()
        except Exception as error:  # noqa: BLE001 - whatever it is, it cannot be written
            if worked:
                self._tell(error)
            return False
        if not worked:
            log.info("journal can be written again", directory=str(self._directory))
        return True

    def _left(self) -> Sequence[AbandonedFile]:
        return [file for file in abandoned(self._directory) if file.path != self._file.path]

    def _inherit(self, left: Sequence[AbandonedFile]) -> Inheritance:
        read = [entry for file in left for entry in self._read(file.path)]
        entries = newest(read)
        self._file.append([record_of(entry) for entry in entries])
        self._keep_in_place()
        return Inheritance(entries=entries, dead=[file.name for file in left], contradictory=contradictory(read))

    def _remove(self, left: Sequence[AbandonedFile]) -> None:
        for file in left:
            file.remove()
        sweep(self._directory)
        flush_directory(self._directory)

    def _compact(self) -> None:
        entries = newest(self._own())
        if self._file.records > 2 * len(entries) + SLACK:
            self._replace(young(entries, self._clock.now()))

    def _replace(self, entries: Iterable[Entry]) -> None:
        old, fresh = self._file, self._new_file()
        try:
            fresh.append([record_of(entry) for entry in entries])
            fresh.publish()
        except OSError:
            fresh.discard()
            raise
        self._file = fresh
        old.close()

    def _own(self) -> Iterable[Entry]:
        return (read_entry(body) for body in bodies_in(self._file.content(), self._file.path, self._ring))

    def _read(self, path: Path) -> Iterable[Entry]:
        return (read_entry(body) for body in read_bodies(path, self._ring))


def young(entries: Sequence[Entry], now: datetime) -> Iterable[Entry]:
    """Return the entries that are kept; a clock that is ahead of the newest of them makes none older than it is."""
    oldest = min(now, max((entry.received_at for entry in entries), default=now)) - KEPT
    return (entry for entry in entries if entry.received_at >= oldest)


def reason_of(error: Exception) -> str:
    """Return what a person is told of a failure, without what the journal holds."""
    if isinstance(error, OSError):
        return os.strerror(error.errno or 0)
    return str(error) if isinstance(error, JournalCorrupt) else type(error).__name__


def record_of(entry: Entry) -> Record:
    """Return the record of an entry."""
    return Record(connection_id=entry.connection_id, body=write_entry(entry))
