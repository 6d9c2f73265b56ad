"""Events of all connections in an order that never changes afterwards; see core/watch_tokens.py."""

from typing import Any

from libs.database.pool import Pool, borrow
from services.token.adapters.rows import COLUMNS, connection_of
from services.token.core.watch_tokens import Happening, Position, Reading
from services.token.domain.timeline import Event, Kind

START = Position(transaction="0", id=0)
SETTLED = "xid < pg_snapshot_xmin(pg_current_snapshot())"

# Ordered by the column and not by the text that is returned under its name: '999' is more than '1000' there.
NEWEST = f"""
    SELECT event.xid::text AS xid, id FROM connection_events event
    WHERE event.{SETTLED} ORDER BY event.xid DESC, id DESC LIMIT 1
"""
NAMED = "SELECT xid::text AS xid, id FROM connection_events WHERE id = $1"

READ = f"""
    SELECT connection.*, event.id AS event_id, event.xid::text AS xid, event.at, event.kind, event.epoch AS event_epoch,
        event.generation AS event_generation, event.reason AS event_reason, event.replica, event.request_id,
        event.actor
    FROM connection_events event
    JOIN LATERAL (SELECT {COLUMNS} FROM connections WHERE connections.id = event.connection_id) connection ON true
    WHERE (event.xid, event.id) > ($1::text::xid8, $2) AND event.{SETTLED}
    ORDER BY event.xid, event.id LIMIT $3
"""

HELD_BACK = f"SELECT EXISTS (SELECT FROM connection_events WHERE NOT {SETTLED})"

# Rows of a restored dump carry the numbers of another server's transactions: they come before all of this one's.
ADOPT = "UPDATE connection_events SET xid = '0' WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())"


class PostgresEvents:
    """Implements EventsPort."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def adopt(self) -> None:
        """Put the events of a restored dump before those of this server."""
        async with borrow(self._pool) as database:
            await database.execute(ADOPT)

    async def position(self, after: int | None) -> Position | None:
        """Return a position; an id of 0 is the start of what is kept."""
        if after == 0:
            return START
        async with borrow(self._pool) as database:
            row = await (database.fetchrow(NEWEST) if after is None else database.fetchrow(NAMED, after))
        if row is None:
            return START if after is None else None
        return Position(transaction=row["xid"], id=row["id"])

    async def read(self, position: Position, size: int) -> Reading:
        """Return events behind a position."""
        async with borrow(self._pool) as database:
            rows = await database.fetch(READ, position.transaction, position.id, size)
            held_back = not rows and await database.fetchval(HELD_BACK)
        return Reading(happenings=[happening_of(row) for row in rows], held_back=held_back)


def happening_of(row: Any) -> Happening:
    """Return the event of a row of READ."""
    connection = connection_of(row)
    event = Event(
        id=row["event_id"],
        connection_id=connection.id,
        at=row["at"],
        kind=Kind(row["kind"]),
        epoch=row["event_epoch"],
        generation=row["event_generation"],
        reason=row["event_reason"],
        replica=row["replica"],
        request_id=row["request_id"],
        actor=row["actor"],
    )
    return Happening(event=event, position=Position(transaction=row["xid"], id=row["event_id"]), connection=connection)
