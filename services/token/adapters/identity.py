"""The id of a database, by which a journal knows what it belongs to."""

from collections.abc import Set as AbstractSet
from uuid import UUID, uuid4

from libs.database.pool import Pool, borrow
from libs.errors import ServerMisconfig

# A database that has none yet takes the id of the journal that is there: it is new, and the journal refills it.
CHOOSE = """
    INSERT INTO database_identity (id) SELECT $1 WHERE NOT EXISTS (SELECT FROM database_identity)
    ON CONFLICT DO NOTHING
"""


async def identify(pool: Pool, journaled: AbstractSet[UUID]) -> UUID:
    """Return the id of the database; raise ServerMisconfig when a journal belongs to another one."""
    offered = next(iter(journaled), None) or uuid4()
    async with borrow(pool) as database:
        await database.execute(CHOOSE, offered)
        identity: UUID = await database.fetchval("SELECT id FROM database_identity")
    if journaled - {identity}:
        raise ServerMisconfig(
            "The journal in JOURNAL_DIR belongs to another database: set JOURNAL_DIR or DATABASE_URL to the other's, "
            "or move the files away if that database is gone for good."
        )
    return identity
