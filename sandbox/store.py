"""Grants, accounts and time that survive a kill: SQLite, committed before the caller goes on."""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from sandbox.clock import Anchor
from sandbox.grants import Grant

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grants (id TEXT PRIMARY KEY, opened REAL NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
"""

People = Literal["accounts", "sellers"]


class StateFileError(Exception):
    """The state file cannot be used; the text says why in one line."""


class StateStore:
    """One SQLite file held by one sandbox; without a path everything ends with the process."""

    def __init__(self, path: Path | None) -> None:
        try:
            if path:
                path.touch(mode=0o600)
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=1)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            # NORMAL hands every commit to the kernel at once: it outlives kill -9, though not a power cut.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise StateFileError(f"SANDBOX_STATE_FILE cannot be used ({path}): {error}") from None

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def save(self, grant: Grant) -> None:
        """Keep this state of the grant; committed on return."""
        row = (grant.id, grant.opened, json.dumps(grant.as_json()))
        self._db.execute("INSERT OR REPLACE INTO grants VALUES (?, ?, ?)", row)

    def grants(self) -> list[Grant]:
        """Return every grant saved, oldest first."""
        rows = self._db.execute("SELECT body FROM grants ORDER BY opened").fetchall()
        return [Grant(**json.loads(body)) for (body,) in rows]

    def key(self) -> bytes:
        """Return the signing key, made at the first start."""
        saved = self._fact("key")
        if saved is None:
            saved = secrets.token_hex(32)
            self._set("key", saved)
        return bytes.fromhex(saved)

    def anchor(self) -> Anchor | None:
        """Return the last saved time, if any."""
        saved = self._fact("clock")
        return Anchor(**json.loads(saved)) if saved else None

    def save_anchor(self, anchor: Anchor) -> None:
        """Keep the time, so that a later start goes on from it."""
        self._set("clock", json.dumps(asdict(anchor)))

    def people(self, kind: People) -> int:
        """Return how many there were."""
        return int(self._fact(kind) or 0)

    def save_people(self, kind: People, count: int) -> None:
        """Keep how many there are."""
        self._set(kind, str(count))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit everything saved inside at once."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
