"""Many connections at once."""

from collections.abc import Mapping, Sequence

from libs.database.pool import Pool, borrow
from services.token.adapters.rows import COLUMNS, held_of
from services.token.core.connections import Held
from services.token.domain.connection import ById, ByOwner, Reference

FIND_ALL = f"""
    SELECT {COLUMNS} FROM connections WHERE id = ANY ($1::uuid[])
    UNION ALL
    SELECT {COLUMNS} FROM connections
    WHERE (provider, owner_kind, owner_id) IN (SELECT * FROM unnest($2::text[], $3::text[], $4::text[]))
      AND id <> ALL ($1::uuid[])
"""


class PostgresBulk:
    """Implements BulkPort."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find_all(self, references: Sequence[Reference]) -> Mapping[Reference, Held]:
        """Return the connections that exist, with one query."""
        ids = [reference.id for reference in references if isinstance(reference, ById)]
        owners = {reference for reference in references if isinstance(reference, ByOwner)}
        providers = [reference.provider.value for reference in owners]
        kinds = [reference.owner.kind.value for reference in owners]
        names = [reference.owner.id for reference in owners]
        async with borrow(self._pool) as database:
            rows = await database.fetch(FIND_ALL, ids, providers, kinds, names)
        return {reference: held for held in map(held_of, rows) for reference in names_of(held)}


def names_of(held: Held) -> tuple[Reference, Reference]:
    """Return both ways to name a connection."""
    connection = held.connection
    return ById(id=connection.id), ByOwner(provider=connection.provider, owner=connection.owner)
