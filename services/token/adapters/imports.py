"""Imported connections in PostgreSQL: whose refresh token is new, stored in bulk."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from libs.database.pool import Borrowed, Pool, borrow
from libs.database.repeat import repeated
from services.token.adapters.leases import NO_LEASE
from services.token.adapters.rows import COLUMNS, connection_of, owner_of
from services.token.adapters.shop_tokens import SHOPS_DUE
from services.token.adapters.shops import lock_numbers
from services.token.adapters.timeline import author, recorded
from services.token.core.importing import FIRST, Candidate, Imported
from services.token.domain.connection import Provider, Status
from services.token.domain.import_results import Known

KNOWN = """
    SELECT mark, connection_id, coalesce(status, 'DISCONNECTED') AS status, owner_kind, owner_id
    FROM refresh_token_marks LEFT JOIN connections ON connections.id = connection_id WHERE mark = ANY ($1)
"""

NUMBERS = "SELECT connection_id, cipher, number FROM shops WHERE connection_id = ANY ($1)"

# Of two imports of one token at once, whoever marks it first takes it.
MARK = """
    INSERT INTO refresh_token_marks (mark, connection_id) SELECT * FROM unnest($1::bytea[], $2::uuid[])
    ON CONFLICT DO NOTHING RETURNING connection_id
"""
UNMARK = "DELETE FROM refresh_token_marks WHERE connection_id = ANY ($1)"

INSERT = recorded(
    f"""
    INSERT INTO connections (
        id, provider, owner_kind, owner_id, team_id, account_id, status, epoch, generation, access_token,
        refresh_token, access_given, received_at, access_expires_at, wanted_shop, connected_at)
    SELECT id, provider, kind, owner, team, 'import:' || left(encode(mark, 'hex'), 32), 'ACTIVE', $1, $2, access,
        refresh, 0, clock_timestamp(), clock_timestamp(), shop,
        coalesce(least(to_timestamp(nullif(connected, 0)), clock_timestamp()), clock_timestamp())
    FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bytea[], $9::bytea[], $10::bytea[],
            $11::text[], $12::bigint[])
        AS new (id, provider, kind, owner, team, mark, access, refresh, shop, connected)
    ON CONFLICT DO NOTHING
    RETURNING {COLUMNS}, wanted_shop
    """,
    kind="'IMPORTED'",
    reason="''",
    by="$13",
)

HELD = """
    SELECT number, CASE WHEN shop_id IS NOT NULL THEN cipher END AS known FROM shops
    WHERE number = ANY ($1) OR cipher = ANY ($2)
"""
HIGHEST_NUMBER = "SELECT coalesce(max(number), 0) FROM shops"
ADD_SHOP = "INSERT INTO shops (number, connection_id, cipher, name) VALUES ($1, $2, $3, $4)"

LOCK = "SELECT account_id FROM connections WHERE id = $1 FOR UPDATE"
LIVE = """
    SELECT id, status FROM connections
    WHERE provider = (SELECT provider FROM connections WHERE id = $2) AND account_id = $1
      AND status <> 'DISCONNECTED' AND id <> $2 FOR UPDATE
"""
TAKE_ACCOUNT = f"""
    UPDATE connections SET account_id = $2, shops_due_at = CASE WHEN provider = 'tiktok_shop' THEN {SHOPS_DUE} END
    WHERE id = $1
"""
# The row stays, without tokens and a step ahead of the journal, so that a replay does not bring it back.
GIVE_WAY = recorded(
    f"""
    UPDATE connections SET status = 'DISCONNECTED', reason = 'merged', epoch = epoch + 1, access_token = '',
        refresh_token = '', account_id = $2, {NO_LEASE}, updated_at = clock_timestamp()
    WHERE id = $1
    RETURNING id, epoch, generation
    """,
    kind="'DISCONNECTED'",
    reason="'merged'",
    by="$3",
)
MOVE_SHOPS = "UPDATE shops SET connection_id = $2 WHERE connection_id = $1"
MOVE_MARKS = "UPDATE refresh_token_marks SET connection_id = $2 WHERE connection_id = $1"
# What is due is looked for among those that were left alone for a while: the others get their turn.
ASK_LATER = "UPDATE connections SET updated_at = clock_timestamp() WHERE id = $1"
LEARN_AGAIN = """
    UPDATE connections SET shops_due_at = clock_timestamp() WHERE id = $1 AND provider = 'tiktok_shop'
"""

DUE = f"""
    SELECT {COLUMNS}, wanted_shop FROM connections
    WHERE provider = ANY ($2) AND status IN ('ACTIVE', 'SUSPECT')
      AND (account_id LIKE 'import:%' OR account_id LIKE 'same:%')
      AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp())
      AND updated_at < clock_timestamp() - interval '1 minute'
    ORDER BY number LIMIT $1
"""


class PostgresImports:
    """Implements ImportsPort; replica names this process."""

    def __init__(self, *, pool: Pool, replica: str) -> None:
        self._pool = pool
        self._replica = replica

    async def known(self, marks: Sequence[bytes]) -> dict[bytes, Known]:
        """Return the connections that hold or held tokens of these marks."""
        async with borrow(self._pool) as database:
            rows = await database.fetch(KNOWN, list(set(marks)))
            shops = await database.fetch(NUMBERS, list({row["connection_id"] for row in rows}))
        numbers: dict[UUID, dict[str, int]] = {}
        for shop in shops:
            numbers.setdefault(shop["connection_id"], {})[shop["cipher"]] = shop["number"]
        return {row["mark"]: known_of(row, numbers.get(row["connection_id"], {})) for row in rows}

    @repeated
    async def insert(self, candidates: Sequence[Candidate]) -> Sequence[Imported]:
        """Store those whose token is new and whose owner is free, with a row for each shop that has a cipher."""
        async with borrow(self._pool) as database, database.transaction():
            ids = [one.connection_id for one in candidates]
            marked = {row[0] for row in await database.fetch(MARK, [one.sealed.mark for one in candidates], ids)}
            new = [one for one in candidates if one.connection_id in marked]
            by = author(self._replica)
            rows = await database.fetch(INSERT, FIRST.epoch, FIRST.generation, *columns(new), by)
            stored = {row["id"] for row in rows}
            await database.execute(UNMARK, list(marked - stored))
            others = await add_shops(database, [one for one in new if one.connection_id in stored])
        return [replace(imported_of(row), other_numbers=others.get(row["id"], {})) for row in rows]

    @repeated
    async def settle(self, connection_id: UUID) -> UUID | None:
        """Return the connection of the account: itself, the live one it gives way to, or None while that is in doubt.

        A connection that needs its owner has lost its tokens: it gives way to an import, whose tokens work.
        """
        async with borrow(self._pool) as database, database.transaction():
            name = await database.fetchval(LOCK, connection_id)
            if not name.startswith("same:"):
                return connection_id
            account = name.split(":")[1]
            live = await database.fetchrow(LIVE, account, connection_id)
            if live is None:
                await database.execute(TAKE_ACCOUNT, connection_id, account)
                return connection_id
            if live["status"] == Status.SUSPECT:
                await database.execute(ASK_LATER, connection_id)
                return None
            by = author(self._replica)
            if live["status"] == Status.REAUTH_REQUIRED:
                await give_way(database, live["id"], connection_id, account, by)
                await database.execute(TAKE_ACCOUNT, connection_id, account)
                return connection_id
            await give_way(database, connection_id, live["id"], account, by)
            await database.execute(LEARN_AGAIN, live["id"])
            kept: UUID = live["id"]
            return kept

    async def due(self, providers: Sequence[Provider], most: int) -> Sequence[Imported]:
        """Return imported connections of these providers whose account is not known or not settled."""
        async with borrow(self._pool) as database:
            return [imported_of(row) for row in await database.fetch(DUE, most, list(providers))]


def imported_of(row: asyncpg.Record) -> Imported:
    """Return the imported connection of a row of COLUMNS and its wanted shop."""
    return Imported(connection=connection_of(row), wanted_shop=row["wanted_shop"])


def known_of(row: asyncpg.Record, numbers: Mapping[str, int]) -> Known:
    """Return the connection of a row of KNOWN; its owner is None when it was deleted."""
    return Known(
        connection_id=row["connection_id"],
        status=Status(row["status"]),
        owner=owner_of(row) if row["owner_id"] else None,
        numbers=numbers,
    )


def columns(candidates: Sequence[Candidate]) -> tuple[Sequence[object], ...]:
    """Return the columns of INSERT."""
    return (
        [one.connection_id for one in candidates],
        [one.first.provider for one in candidates],
        [one.owner.kind for one in candidates],
        [one.owner.id for one in candidates],
        [one.first.team_id for one in candidates],
        [one.sealed.mark for one in candidates],
        [one.sealed.access for one in candidates],
        [one.sealed.refresh for one in candidates],
        [one.first.shop_id for one in candidates],
        [one.first.connected_at for one in candidates],
    )


async def give_way(database: Borrowed, ended: UUID, kept: UUID, account: str, by: Sequence[str]) -> None:
    """End a connection in favour of another one of its account, which gets its shops and marks."""
    await database.execute(MOVE_SHOPS, ended, kept)
    await database.execute(MOVE_MARKS, ended, kept)
    await database.execute(GIVE_WAY, ended, account, by)


async def add_shops(database: Borrowed, candidates: Sequence[Candidate]) -> dict[UUID, dict[int, int]]:
    """Add a row for each shop with a cipher, under its own number if that is free; return what became of the others.

    A shop that has a number already keeps it rather than get a third one.
    """
    wanted = [(one.connection_id, entry) for one in candidates for entry in one.entries if entry.cipher]
    await lock_numbers(database)
    asked = [entry.shop_number for _, entry in wanted]
    held = await database.fetch(HELD, asked, [entry.cipher for _, entry in wanted])
    taken = {0, *(row["number"] for row in held)}
    own = {row["known"]: row["number"] for row in held if row["known"]}
    free = max(await database.fetchval(HIGHEST_NUMBER), *asked, 0)
    others: dict[UUID, dict[int, int]] = {}
    added: list[tuple[int, UUID, str, str]] = []
    for connection_id, entry in wanted:
        number = entry.shop_number
        if number in taken:
            free += entry.cipher not in own
            number = own.get(entry.cipher, free)
        if number != own.get(entry.cipher):
            added.append((number, connection_id, entry.cipher, entry.name))
            taken.add(number)
        if entry.shop_number not in (0, number):
            others.setdefault(connection_id, {})[entry.shop_number] = number
    await database.executemany(ADD_SHOP, added)
    return others
