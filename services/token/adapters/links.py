"""Which consent links were used, in PostgreSQL."""

from uuid import UUID

from libs.database.pool import Pool, borrow
from services.token.core.state import Link

# A spent link is remembered a day past its end, so that a replay is told from a link that never was.
KEPT = "1 day"


class PostgresLinks:
    """Implements LinksPort."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def issue(self, link: Link) -> None:
        """Remember a new link, and forget old ones."""
        insert = "INSERT INTO authorization_links (id, expires_at) VALUES ($1, $2)"
        forget = "DELETE FROM authorization_links WHERE expires_at < clock_timestamp() - $1::text::interval"
        async with borrow(self._pool) as database:
            await database.execute(insert, link.id, link.expires_at)
            await database.execute(forget, KEPT)

    async def spend(self, link_id: UUID) -> bool:
        """Return True for the first caller only."""
        spend = (
            "UPDATE authorization_links SET spent_at = clock_timestamp() WHERE id = $1 AND spent_at IS NULL RETURNING 1"
        )
        async with borrow(self._pool) as database:
            return await database.fetchval(spend, link_id) is not None

    async def is_spent(self, link_id: UUID) -> bool:
        """Return whether somebody has spent the link."""
        query = "SELECT spent_at IS NOT NULL FROM authorization_links WHERE id = $1"
        async with borrow(self._pool) as database:
            return bool(await database.fetchval(query, link_id))
