"""One append-only journal file: locked by its process, flushed to the disk before an append returns."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

from libs.vault.ring import KeyRing
from services.token.adapters.journal.records import faults, header, record
from services.token.core.journal import UnreadableRecord

SUFFIX = ".journal"
TURN = "taking-over.lock"
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
        self._unnamed = directory / f"{name}.{file_id.hex}.new"
        self._descriptor = os.open(self._unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        # Locked before it has its name: a process that starts meanwhile would take it for one whose writer is dead.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.bytes = 0
        self._about = bytearray()
        self._write(self._head)

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
        found = faults(self.path, self._ring)
        for number in range(self.records):
            if why := next(found, "cannot be found: the file is damaged here or before"):
                at = number * UUID_BYTES
                about = UUID(bytes=bytes(self._about[at : at + UUID_BYTES]))
                yield UnreadableRecord(connection_id=about, number=number, why=why)

    def probe(self) -> None:
        """Raise OSError when the disk takes no more: writes a block of zeros at the end and takes it back."""
        try:
            self._flush(bytes(PROBE_BYTES))
        finally:
            os.ftruncate(self._descriptor, self.bytes)

    def _write(self, content: bytes) -> None:
        try:
            self._flush(content)
        except OSError:
            os.ftruncate(self._descriptor, self.bytes)
            raise
        self.bytes += len(content)

    def _flush(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        os.fdatasync(self._descriptor)


class AbandonedFile:
    """A file whose process is gone: nobody holds its lock."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.name = path.name.removesuffix(SUFFIX)
        self._descriptor = descriptor

    def remove(self) -> None:
        """Delete it; its entries must be safe elsewhere."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let it go; if it is still there, another process may take it over."""
        os.close(self._descriptor)


class Turn:
    """What the processes of a directory have one after the other; the death of one passes it on."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / TURN, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self) -> bool:
        """Return whether it is this process's now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def pass_on(self) -> None:
        """Let the next have it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let it go."""
        os.close(self._descriptor)


def abandoned(directory: Path) -> Iterable[AbandonedFile]:
    """Yield the files that no living process writes, each locked by us from then on."""
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        yield AbandonedFile(path, descriptor)


def flush_directory(directory: Path) -> None:
    """Return once the directory's own entries are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
