"""Which consent links were used and which were ended, in PostgreSQL."""

from datetime import datetime
from uuid import UUID

from libs.database.pool import Borrowed, Pool, borrow
from libs.errors import StateInvalid
from services.token.core.state import Link
from services.token.domain.connection import ByOwner

# A spent link is remembered a day past its end, so that a replay is told from a link that never was.
KEPT = "1 day"

# Also those already spent: what their consents bring, a moment later, is not to be stored.
END = """
    UPDATE authorization_links SET ended_at = clock_timestamp()
    WHERE provider = $1 AND owner_kind = $2 AND owner_id = $3 AND ended_at IS NULL
"""


class PostgresLinks:
    """Implements LinksPort."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def now(self) -> datetime:
        """Return the database's time."""
        async with borrow(self._pool) as database:
            now: datetime = await database.fetchval("SELECT clock_timestamp()")
        return now

    async def issue(self, link: Link) -> None:
        """Remember a new link, and forget old ones."""
        insert = """
            INSERT INTO authorization_links (id, expires_at, provider, owner_kind, owner_id)
            VALUES ($1, $2, $3, $4, $5)
        """
        forget = "DELETE FROM authorization_links WHERE expires_at < clock_timestamp() - $1::text::interval"
        owner = link.target.owner
        async with borrow(self._pool) as database:
            await database.execute(insert, link.id, link.expires_at, link.target.provider, owner.kind, owner.id)
            await database.execute(forget, KEPT)

    async def spend(self, link_id: UUID) -> bool:
        """Return True for the first caller only; raise StateInvalid for a link that was ended before anybody came."""
        spend = (
            "UPDATE authorization_links SET spent_at = clock_timestamp() WHERE id = $1 AND spent_at IS NULL "
            "RETURNING ended_at IS NOT NULL AS ended"
        )
        async with borrow(self._pool) as database:
            row = await database.fetchrow(spend, link_id)
        if row and row["ended"]:
            raise ended()
        return row is not None

    async def is_spent(self, link_id: UUID) -> bool:
        """Return whether somebody has spent the link."""
        query = "SELECT spent_at IS NOT NULL FROM authorization_links WHERE id = $1"
        async with borrow(self._pool) as database:
            return bool(await database.fetchval(query, link_id))


async def end_links(database: Borrowed, target: ByOwner) -> None:
    """Make all links worthless that were made for an owner until now, inside a transaction."""
    await database.execute(END, target.provider, target.owner.kind, target.owner.id)


async def require_open(database: Borrowed, link_id: UUID | None) -> None:
    """Raise StateInvalid when a link has been ended; whoever would end it now waits for this transaction."""
    query = "SELECT ended_at IS NOT NULL FROM authorization_links WHERE id = $1 FOR SHARE"
    if link_id and await database.fetchval(query, link_id):
        raise ended()


def ended() -> StateInvalid:
    """Return what to say of a link that was ended."""
    return StateInvalid("This connect link was ended when its owner was disconnected or deleted: ask for a new one.")
