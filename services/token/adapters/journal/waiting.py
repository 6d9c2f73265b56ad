"""Records that wait for the disk: each once, and for a disk that hangs no more of them than memory has room for."""

import asyncio
from collections.abc import Mapping

import structlog

from services.token.adapters.journal.file import Record

MOST = 25_000  # records, less than a kilobyte each

log = structlog.get_logger()


class WaitingRecords:
    """In the order they came; who asks for one is told whether it was kept."""

    def __init__(self) -> None:
        self._told: dict[Record, asyncio.Future[bool]] = {}
        self._given_up = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._told)

    def add(self, record: Record) -> "asyncio.Future[bool]":
        """Return what tells whether it was kept; of too many the oldest is not: it is the nearest to being replaced."""
        if record not in self._told:
            self._make_room()
            self._told[record] = asyncio.get_running_loop().create_future()
        return self._told[record]

    def take(self) -> "Mapping[Record, asyncio.Future[bool]]":
        """Return all: the disk is ready for them."""
        if self._given_up:
            log.error("journal lacks records that were dropped while its disk hung", count=self._given_up)
        self._given_up = 0
        taken, self._told = self._told, {}
        return taken

    def _make_room(self) -> None:
        if len(self._told) < MOST:
            return
        if not self._given_up:
            log.error("journal disk hangs: from here on the oldest records that wait for it are dropped", waiting=MOST)
        self._told.pop(next(iter(self._told))).set_result(False)
        self._given_up += 1
        self.dropped += 1
