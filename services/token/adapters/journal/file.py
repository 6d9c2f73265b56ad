"""One append-only journal file: locked by its process, flushed to the disk before an append returns."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

from libs.vault.ring import KeyRing
from services.token.adapters.journal.ownership import SUFFIX, UNFINISHED, create_locked, flush_directory, is_at
from services.token.adapters.journal.records import faults, header, record
from services.token.core.journal import UnreadableRecord

PROBE_BYTES = 4096
UUID_BYTES = 16


class Record(NamedTuple):
    """What is to be appended, and the connection it is about."""

    connection_id: UUID
    body: bytes


class JournalFile:
    """Appends records, and knows which connection each is about; what a failed append left behind is cut off again.

    It has its name, and takes the place of the file that had it, from publish on: whoever dies before that, or fails,
    leaves that file as it was.
    """

    def __init__(self, directory: Path, name: str, *, ring: KeyRing, database: UUID) -> None:
        self._ring = ring
        file_id = uuid4()
        self._head = header(file_id, database)
        self.path = directory / f"{name}{SUFFIX}"
        self._unnamed = directory / f"{name}.{file_id.hex}{UNFINISHED}"
        # Locked before it has its name: a process that starts meanwhile would take it for one whose writer is dead.
        self._descriptor = create_locked(self._unnamed)
        self.bytes = 0
        self._about = bytearray()
        try:
            self._write(self._head)
        except OSError:
            self.discard()
            raise

    def publish(self) -> None:
        """Give it its name."""
        self._unnamed.rename(self.path)
        flush_directory(self.path.parent)

    def discard(self) -> None:
        """Remove it before it had its name."""
        self._unnamed.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let it go."""
        os.close(self._descriptor)

    @property
    def in_place(self) -> bool:
        """Whether it is found under its name: else what stands in it alone dies with this process."""
        return is_at(self._descriptor, self.path)

    @property
    def records(self) -> int:
        """How many records it has."""
        return len(self._about) // UUID_BYTES

    def append(self, added: Sequence[Record]) -> None:
        """Return once all records are on the disk; OSError when they are not, and then none of them stays."""
        numbered = enumerate(added, start=self.records)
        self._write(b"".join(record(self._ring, self._head, number, one.body) for number, one in numbered))
        self._about += b"".join(one.connection_id.bytes for one in added)

    def unreadable(self) -> Iterator[UnreadableRecord]:
        """Yield the records that do not open, or are not found any more; OSError when the file cannot be read."""
        found = faults(self.content(), self.path, self._ring)
        for number in range(self.records):
            if why := next(found, "cannot be found: the file is damaged here or before"):
                at = number * UUID_BYTES
                about = UUID(bytes=bytes(self._about[at : at + UUID_BYTES]))
                yield UnreadableRecord(connection_id=about, number=number, why=why)

    def content(self) -> bytes:
        """Return what it holds, whatever has become of its name; OSError when it cannot be read."""
        return os.pread(self._descriptor, self.bytes, 0)

    def probe(self) -> None:
        """Raise OSError when the disk takes no more: writes a block of zeros at the end and takes it back."""
        try:
            self._flush(bytes(PROBE_BYTES))
        finally:
            os.ftruncate(self._descriptor, self.bytes)

    def _write(self, content: bytes) -> None:
        self._cut_off_rest()
        try:
            self._flush(content)
        except OSError:
            self._cut_off_rest()
            raise
        self.bytes += len(content)

    def _cut_off_rest(self) -> None:
        """Leave what is known to be written; a disk that refuses even that is asked again before anything follows."""
        if os.fstat(self._descriptor).st_size > self.bytes:
            os.ftruncate(self._descriptor, self.bytes)

    def _flush(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        os.fdatasync(self._descriptor)
