"""The shops of TikTok Shop connections: a row for each shop, whose number stays whoever connects it."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from libs.database.pool import Borrowed, Pool, borrow
from libs.database.repeat import repeated
from libs.errors import AccountAlreadyConnected
from services.token.adapters.rows import COLUMNS, held_of, owner_of
from services.token.adapters.timeline import author, recorded
from services.token.core.connections import Held
from services.token.domain.connection import Connection
from services.token.domain.grant import Grant
from services.token.domain.shop import Shop

# Numbers are given one after another: whoever gives one holds this lock until its transaction ends.
NUMBERING = 0x73686F70

NOTE = """
    UPDATE connections SET wanted_shop = $2,
        shops_due_at = CASE WHEN $3 THEN NULL ELSE clock_timestamp() + make_interval(secs => $4) END
    WHERE id = $1
"""

ELSEWHERE = """
    SELECT shop_id, owner_kind, owner_id FROM shops JOIN connections ON connections.id = connection_id
    WHERE shop_id = ANY ($1) AND connection_id <> $2 AND status <> 'DISCONNECTED'
"""

# Imported rows know their cipher only, until TikTok has told whose it is.
IDENTIFY = """
    UPDATE shops SET shop_id = told.shop_id FROM unnest($2::text[], $3::text[]) AS told (shop_id, cipher)
    WHERE connection_id = $1 AND shops.shop_id IS NULL AND shops.cipher = told.cipher
      AND NOT EXISTS (SELECT 1 FROM shops AS known WHERE known.shop_id = told.shop_id)
"""

# A number that an import named wins over one that was given, however the import and the learning fell out.
GIVE_UP_NUMBERS = """
    DELETE FROM shops AS given USING shops AS named
    WHERE named.connection_id = $1 AND named.shop_id IS NULL
      AND given.connection_id = $1 AND given.shop_id IS NOT NULL AND given.cipher = named.cipher
"""

LEAVE = "UPDATE shops SET connection_id = NULL WHERE connection_id = $1 AND shop_id <> ALL ($2)"

TAKE = """
    INSERT INTO shops (number, connection_id, shop_id, cipher, name, region, seller_type)
    SELECT (SELECT coalesce(max(number), 0) FROM shops) + place, $1, shop_id, cipher, name, region, seller_type
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
        WITH ORDINALITY AS told (shop_id, cipher, name, region, seller_type, place)
    ON CONFLICT (shop_id) DO UPDATE SET
        connection_id = excluded.connection_id, cipher = excluded.cipher, name = excluded.name,
        region = excluded.region, seller_type = excluded.seller_type
"""

LEARNT = recorded(
    """
    UPDATE connections SET shops_due_at = NULL, updated_at = clock_timestamp()
    WHERE id = $1 AND epoch = $2 AND status <> 'DISCONNECTED'
    RETURNING id, epoch, generation
    """,
    kind="'SHOPS_LEARNT'",
    reason="$3::text",
    by="$4",
)

DUE = f"""
    UPDATE connections SET shops_due_at = clock_timestamp() + make_interval(secs => $1)
    WHERE id IN (
        SELECT id FROM connections WHERE shops_due_at <= clock_timestamp() AND status IN ('ACTIVE', 'SUSPECT')
        ORDER BY shops_due_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    RETURNING {COLUMNS}, wanted_shop
"""

LEARN_AFTER = 60.0  # seconds between two attempts


class PostgresShops:
    """Implements ShopsPort; replica names this process."""

    def __init__(self, *, pool: Pool, replica: str) -> None:
        self._pool = pool
        self._replica = replica

    async def due(self, most: int) -> Sequence[tuple[Held, str]]:
        """Return connections whose shops are not known, with the wanted shop; nobody else gets them for a minute."""
        async with borrow(self._pool) as database:
            rows = await database.fetch(DUE, LEARN_AFTER, most)
        return [(held_of(row), row["wanted_shop"]) for row in rows]

    @repeated
    async def learn(self, connection: Connection, shops: Sequence[Shop]) -> tuple[Shop, ...]:
        """Store the shops of a connection, unless it has moved on; return those left out, being live elsewhere."""
        async with borrow(self._pool) as database, database.transaction():
            told = (", ".join(shop.id for shop in shops), author(self._replica))
            if not await database.fetchval(LEARNT, connection.id, connection.version.epoch, *told):
                return ()
            await lock_numbers(database)
            elsewhere = {row["shop_id"] for row in await shops_elsewhere(database, connection.id, shops)}
            await take_shops(database, connection.id, [shop for shop in shops if shop.id not in elsewhere])
        return tuple(shop for shop in shops if shop.id in elsewhere)


async def write_shops(database: Borrowed, connection_id: UUID, grant: Grant) -> None:
    """Store the shops of a new grant in its transaction, or when to ask for them; raise AccountAlreadyConnected."""
    await database.execute(NOTE, connection_id, grant.wanted_shop, grant.shops is not None, LEARN_AFTER)
    if grant.shops is None:
        return
    await lock_numbers(database)
    for row in await shops_elsewhere(database, connection_id, grant.shops):
        raise AccountAlreadyConnected(
            "This shop is connected to another owner: disconnect it there first.",
            metadata={"owner": owner_of(row).masked()},
        )
    await take_shops(database, connection_id, grant.shops)


async def lock_numbers(database: Borrowed) -> None:
    """Let nobody else give numbers or take shops until the transaction ends."""
    await database.execute("SELECT pg_advisory_xact_lock($1)", NUMBERING)


async def shops_elsewhere(database: Borrowed, connection_id: UUID, shops: Sequence[Shop]) -> Sequence[asyncpg.Record]:
    """Return those of the shops that another live connection has, with its owner."""
    return await database.fetch(ELSEWHERE, [shop.id for shop in shops], connection_id)


async def take_shops(database: Borrowed, connection_id: UUID, shops: Sequence[Shop]) -> None:
    """Make these the shops of a connection; those it had and no longer has keep their number for later."""
    ids, ciphers = [shop.id for shop in shops], [shop.cipher for shop in shops]
    await database.execute(GIVE_UP_NUMBERS, connection_id)
    await database.execute(IDENTIFY, connection_id, ids, ciphers)
    await database.execute(LEAVE, connection_id, ids)
    rest = ([shop.name for shop in shops], [shop.region for shop in shops], [shop.seller_type for shop in shops])
    await database.execute(TAKE, connection_id, ids, ciphers, *rest)
