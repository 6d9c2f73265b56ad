"""The timeline of connections as it is read and forgotten; adapters/timeline.py says how it is written."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from libs.database.command_tag import rows_changed
from libs.database.pool import Pool, borrow
from services.token.domain.timeline import Event, Kind

EVENT_COLUMNS = "id, connection_id, at, kind, epoch, generation, reason, replica, request_id, actor"

NEWEST = f"""
    SELECT {EVENT_COLUMNS} FROM connection_events
    WHERE connection_id = $1 AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""

FORGET = """
    DELETE FROM connection_events WHERE id IN (
        SELECT id FROM connection_events WHERE at < clock_timestamp() - $1::interval ORDER BY at LIMIT $2)
"""


class PostgresTimeline:
    """Implements the TimelinePort of explanations and the Forgetful of retention."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def newest(self, connection_id: UUID, before: int | None, size: int) -> Sequence[Event]:
        """Return a page of a connection's events, newest first."""
        async with borrow(self._pool) as database:
            rows = await database.fetch(NEWEST, connection_id, before, size)
        return [event_of(row) for row in rows]

    async def forget(self, age: timedelta, most: int) -> int:
        """Delete up to so many of the events older than age; return how many."""
        async with borrow(self._pool) as database:
            return rows_changed(await database.execute(FORGET, age, most))


def event_of(row: Any) -> Event:
    """Return the event of a row of EVENT_COLUMNS."""
    return Event(**{**dict(row), "kind": Kind(row["kind"])})
