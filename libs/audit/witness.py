"""Keeps where a chain stands in a file and in the log, and tells when the chain no longer holds what was kept."""

import os
from pathlib import Path

import structlog

from libs.audit.chain import Checkpoint
from libs.audit.verification import ChainedRows, lost

log = structlog.get_logger()


class CheckpointFile:
    """A checkpoint outside of the database."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Checkpoint | None:
        """Return what is kept, None when nothing is or nobody can read it."""
        try:
            return Checkpoint.parse(self._path.read_text(encoding="ascii").strip())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.error("a checkpoint of the audit trail cannot be read", path=str(self._path), error=str(error))
            return None

    def write(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in the place of the one before, whole or not at all."""
        staging = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            staging.write_text(f"{checkpoint}\n", encoding="ascii")
            staging.replace(self._path)
        except OSError as error:
            log.error("a checkpoint of the audit trail cannot be written", path=str(self._path), error=str(error))


class Witness:
    """Looks at a chain again and again. What it has kept it replaces only while the chain still holds it."""

    def __init__(self, *, rows: ChainedRows, file: CheckpointFile) -> None:
        self._rows = rows
        self._file = file
        self._missed: Checkpoint | None = None
        self.sequence = 0

    @property
    def misses(self) -> bool:
        """True when the chain lacked what was kept at the last look."""
        return self._missed is not None

    async def look(self) -> None:
        """Compare the chain with the checkpoint, then advance that to the last row."""
        kept = self._file.read()
        if kept and await lost(self._rows, kept):
            self._miss(kept)
            return
        self._missed = None
        tail = await self._rows.tail()
        self.sequence = tail.sequence if tail else 0
        if tail and tail != kept:
            self._file.write(tail)
            log.info("audit checkpoint", checkpoint=str(tail))

    def _miss(self, kept: Checkpoint) -> None:
        if kept != self._missed:
            log.error(
                "rows of the audit trail are gone: verify it, and see docs/audit.md before the checkpoint is removed",
                checkpoint=str(kept),
            )
        self._missed = kept
