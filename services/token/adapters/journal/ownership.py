"""Which process a file of the journal's directory belongs to: its lock says whether that process lives."""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

SUFFIX = ".journal"
UNFINISHED = ".new"
TURN = "taking-over.lock"


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file is found at a path: one that was deleted or moved away is not."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def create_locked(path: Path) -> int:
    """Return the descriptor of a new file that is locked, and so not taken for one that a dead process left."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Before it was locked, somebody may have swept it away.
        if is_at(descriptor, path):
            return descriptor
        os.close(descriptor)


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
        self._path = directory / TURN
        self._descriptor = self._open()

    def take(self) -> bool:
        """Return whether it is this process's now; OSError when there is no directory any more."""
        if not is_at(self._descriptor, self._path):
            fresh = self._open()
            self.close()
            self._descriptor = fresh
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

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)


def abandoned(directory: Path) -> Iterable[AbandonedFile]:
    """Yield the files that no living process writes, each locked by us from then on."""
    return (AbandonedFile(path, descriptor) for path, descriptor in unlocked(directory, SUFFIX))


def sweep(directory: Path) -> None:
    """Delete the files that dead processes had not finished: what stands in them stands in finished ones too."""
    for path, descriptor in unlocked(directory, UNFINISHED):
        path.unlink(missing_ok=True)
        os.close(descriptor)


def unlocked(directory: Path, suffix: str) -> Iterable[tuple[Path, int]]:
    """Yield the files that no living process has locked, with descriptors by which we have."""
    for path in sorted(directory.glob(f"*{suffix}")):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        yield path, descriptor


def flush_directory(directory: Path) -> None:
    """Return once the directory's own entries are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
