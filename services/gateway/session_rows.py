"""Sessions of the console as rows that all replicas share, on the database's clock."""

from collections.abc import Sequence

from services.gateway.database import Database
from services.gateway.sessions import SessionLife

# Seconds that a session's last use may be older than it was: looking at it shall not write each time.
GRAIN = 60.0

BEGIN = "INSERT INTO sessions (id, key_name) VALUES ($1, $2)"
USE = """
WITH found AS (
    SELECT id, used_at FROM sessions
    WHERE id = ANY($1) AND clock_timestamp() < least(
        used_at + make_interval(secs => $2), begun_at + make_interval(secs => $3))
), used AS (
    UPDATE sessions SET used_at = clock_timestamp() FROM found
    WHERE sessions.id = found.id AND found.used_at < clock_timestamp() - make_interval(secs => $4)
)
SELECT id FROM found
"""
END = "DELETE FROM sessions WHERE id = ANY($1)"
END_ALL = "DELETE FROM sessions WHERE key_name = $1"
# What is locked is being ended by somebody else.
PRUNE = """
DELETE FROM sessions WHERE id = ANY(ARRAY(
    SELECT id FROM sessions
    WHERE clock_timestamp() >= least(used_at + make_interval(secs => $1), begun_at + make_interval(secs => $2))
    LIMIT 10000 FOR UPDATE SKIP LOCKED))
"""


class PostgresSessions:
    """The rows; StorageUnavailable while they cannot be had."""

    def __init__(self, database: Database) -> None:
        self._row = database.row

    async def begin(self, session_id: bytes, key_name: str) -> None:
        """Keep a new session."""
        await self._row(BEGIN, session_id, key_name)

    async def use(self, session_ids: Sequence[bytes], life: SessionLife) -> bytes | None:
        """Return which of these is a session that has not ended, and keep it from ending unused; None for none."""
        grain = min(GRAIN, life.idle / 2)
        found = await self._row(USE, session_ids, life.idle, life.longest, grain)
        return bytes(found["id"]) if found else None

    async def end(self, session_ids: Sequence[bytes]) -> None:
        """End sessions."""
        await self._row(END, session_ids)

    async def end_all(self, key_name: str) -> None:
        """End every session of a key."""
        await self._row(END_ALL, key_name)

    async def prune(self, life: SessionLife) -> None:
        """Delete what has ended."""
        await self._row(PRUNE, life.idle, life.longest)
