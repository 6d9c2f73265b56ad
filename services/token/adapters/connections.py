"""Connections in PostgreSQL: short statements, no transaction open while TikTok is called."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

import asyncpg
from prometheus_client import CollectorRegistry

from libs.database.pool import Borrowed, Pool, borrow
from libs.database.repeat import repeated
from libs.errors import AccountAlreadyConnected, StorageUnavailable
from services.token.adapters.leases import NO_LEASE, Leases
from services.token.adapters.links import require_open
from services.token.adapters.metered import DoubtMeter
from services.token.adapters.revocations import QUEUE_REVOCATION
from services.token.adapters.rows import COLUMNS, FIND_BY_ID, connection_of, held_of, is_reduced, owner_of
from services.token.adapters.shop_tokens import account_of, marked, shops_due_of
from services.token.adapters.shops import write_shops
from services.token.adapters.timeline import author, recorded
from services.token.core.connections import Filter, Held, Lease, Seal, Setback
from services.token.core.vault import SealedTokens
from services.token.domain.connection import ById, ByOwner, Connection, Need, Provider, Reference, Status, Version, Why
from services.token.domain.grant import Grant

# A token that lives shorter than this is refreshed once in SHORTEST_PAUSE at most, whatever TikTok says of its life.
SHORT_LIFE = 60  # seconds
SHORTEST_PAUSE = 30.0  # seconds
REQUESTS_KEPT = "7 days"

FIND_BY_OWNER = f"SELECT {COLUMNS} FROM connections WHERE provider = $1 AND owner_kind = $2 AND owner_id = $3"

MARK_CONNECTED = "INSERT INTO refresh_token_marks (mark, connection_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"

# By epoch and generation and not by lease: a holder that was paused past its lease has tokens nobody else has.
SAVE = recorded(
    f"""
    UPDATE connections SET
        generation = $3 + 1, access_token = $4, refresh_token = $5,
        account_id = {account_of("account_id", "$16", "connections.provider")},
        shops_due_at = {shops_due_of("account_id", "$16", "connections.provider", before="shops_due_at")},
        status = 'ACTIVE', failures = 0,
        reason = CASE WHEN {is_reduced("reason", "scopes", "$6::text[]")} THEN 'scope_reduced'
            WHEN reason = 'expiring' THEN reason ELSE '' END,
        scopes = CASE WHEN cardinality($6::text[]) > 0 THEN $6 ELSE scopes END,
        access_given = $12, refresh_given = coalesce($13::bigint, refresh_given),
        received_at = clock_timestamp() - make_interval(secs => $9::float8),
        access_expires_at = clock_timestamp() + make_interval(secs => $7::bigint - $9::float8),
        refresh_expires_at = coalesce(
            clock_timestamp() + make_interval(secs => $8::bigint - $9::float8), refresh_expires_at),
        next_attempt_at = CASE WHEN $7::bigint < $10::bigint THEN clock_timestamp() + make_interval(secs => $11) END,
        {NO_LEASE}, updated_at = clock_timestamp()
    WHERE id = $1 AND epoch = $2 AND generation = $3
    RETURNING id, epoch, generation, reason AS told
    """,
    kind="'REFRESHED'",
    reason="CASE WHEN told = 'scope_reduced' THEN told ELSE '' END",
    by="$14",
    also=marked("$15"),
)

SAVED_BEFORE = "SELECT 1 FROM connections WHERE id = $1 AND epoch = $2 AND generation = $3 AND access_token = $4"

# By the lease's name too: a holder that was paused past its lease must not end that of the one who has it now.
GIVE_BACK = recorded(
    f"""
    UPDATE connections SET
        {NO_LEASE},
        failures = failures + 1, next_attempt_at = clock_timestamp() + make_interval(secs => $4),
        status = coalesce($5::text, status), reason = coalesce($6::text, reason), updated_at = clock_timestamp()
    WHERE id = $1 AND epoch = $2 AND generation = $3 AND (lease_owner IS NULL OR lease_owner = $9)
    RETURNING id, epoch, generation
    """,
    kind="coalesce($5::text, 'REFRESH_FAILED')",
    reason="coalesce($6::text, $7::text, '')",
    by="$8",
)

# A key that is lacking here and exists elsewhere says nothing about the row.
SUSPECT = recorded(
    """
    UPDATE connections SET status = 'SUSPECT', reason = $4, updated_at = clock_timestamp()
    WHERE id = $1 AND epoch = $2 AND generation = $3 AND status = 'ACTIVE'
      AND NOT EXISTS (SELECT FROM key_canaries WHERE key_id = ANY ($5::text[]))
    RETURNING id, epoch, generation
    """,
    kind="'SUSPECT'",
    reason="$4",
    by="$6",
)

LOCK_OWNER = """
    SELECT id, owner_kind, epoch, generation, account_id, status FROM connections
    WHERE provider = $1 AND owner_kind = $2 AND owner_id = $3 FOR UPDATE
"""

CONNECT = recorded(
    f"""
    INSERT INTO connections AS old (
        id, provider, owner_kind, owner_id, team_id, account_id, status, scopes, epoch, generation,
        access_token, refresh_token, access_given, refresh_given, received_at, access_expires_at, refresh_expires_at
    ) VALUES (
        $1, $2, $3, $4, $5, $6, 'ACTIVE', $7, $8, $9, $10, $11, $15, $16,
        clock_timestamp() - make_interval(secs => $14::float8),
        clock_timestamp() + make_interval(secs => $12::bigint - $14::float8),
        clock_timestamp() + make_interval(secs => $13::bigint - $14::float8)
    )
    ON CONFLICT (id) DO UPDATE SET
        team_id = excluded.team_id, account_id = excluded.account_id, status = 'ACTIVE', reason = '',
        scopes = excluded.scopes, epoch = excluded.epoch, generation = excluded.generation,
        access_token = excluded.access_token, refresh_token = excluded.refresh_token,
        access_given = excluded.access_given, refresh_given = excluded.refresh_given,
        received_at = excluded.received_at, access_expires_at = excluded.access_expires_at,
        refresh_expires_at = excluded.refresh_expires_at, {NO_LEASE}, failures = 0, next_attempt_at = NULL,
        connected_at = clock_timestamp(), updated_at = clock_timestamp()
    RETURNING {COLUMNS}
    """,
    kind="'CONNECTED'",
    reason="''",
    by="$17",
)

LIVE_OWNER = """
    SELECT owner_kind, owner_id FROM connections
    WHERE provider = $1 AND account_id = $2 AND status <> 'DISCONNECTED'
"""

PAGE = f"""
    SELECT {COLUMNS} FROM connections
    WHERE number > $1 AND ($3::text IS NULL OR owner_kind = $3)
      AND (cardinality($4::text[]) = 0 OR owner_id = ANY ($4)) AND (cardinality($5::text[]) = 0 OR status = ANY ($5))
    ORDER BY number LIMIT $2
"""


BeforeReplacement = Callable[[Borrowed, asyncpg.Record], Awaitable[None]]


class Wish(NamedTuple):
    """What is to be connected, and what is done before another live account of the owner gives way."""

    target: ByOwner
    team_id: int
    grant: Grant
    seal: Seal
    before_replacement: BeforeReplacement
    link: UUID | None


class PostgresConnections:
    """Implements ConnectionsPort over pools whose search_path is schema credentials; replica names this process.

    Of the reserve, if there is one, are the connections that save what TikTok has given: nobody else can hold them.
    """

    def __init__(
        self, *, pool: Pool, replica: str, reserve: "Pool | None" = None, doubts: DoubtMeter | None = None
    ) -> None:
        self._pool = pool
        self._reserve = reserve or pool
        self._replica = replica
        self._doubts = doubts or DoubtMeter(CollectorRegistry())
        self._leases = Leases(pool=pool, replica=replica)

    async def find(self, reference: Reference) -> Held | None:
        """Return a connection by id or owner."""
        async with borrow(self._pool) as database:
            if isinstance(reference, ById):
                row = await database.fetchrow(FIND_BY_ID, reference.id)
            else:
                row = await database.fetchrow(FIND_BY_OWNER, *owner_key(reference))
        return held_of(row) if row else None

    async def claim(self, connection_id: UUID, need: Need, *, lease: float) -> Lease | None:
        """Take the lease when the need is unmet and nobody holds it."""
        return await self._leases.take(connection_id, need, lease)

    async def holds(self, lease: Lease, seconds: float) -> bool:
        """Return whether a lease is in force and stays so for seconds."""
        return await self._leases.lasts(lease, seconds)

    @repeated
    async def save(self, lease: Lease, grant: Grant, sealed: SealedTokens) -> bool:
        """Store new tokens if the row still has the lease's version; a repeat of a save that worked says so."""
        key = (lease.id, lease.version.epoch, lease.version.generation)
        lives = (grant.access_seconds, grant.refresh_seconds, grant.age)
        given = (grant.access_given, grant.refresh_given)
        async with borrow(self._reserve) as database:
            saved = await database.fetchval(
                SAVE,
                *key,
                sealed.access,
                sealed.refresh,
                grant.scopes,
                *lives,
                SHORT_LIFE,
                SHORTEST_PAUSE,
                *given,
                author(self._replica),
                sealed.mark,
                grant.account_id,
            )
            if saved is None:
                after = lease.version.refreshed()
                saved = await database.fetchval(SAVED_BEFORE, lease.id, after.epoch, after.generation, sealed.access)
        if saved is None:
            return False
        self._leases.saved(lease)
        return True

    async def leave(self, lease: Lease) -> None:
        """Give back a lease that was not used."""
        try:
            await self.give_back(lease, Setback(pause=0, cause=StorageUnavailable.reason))
        except StorageUnavailable:
            self._leases.left(lease)

    @repeated
    async def give_back(self, lease: Lease, setback: Setback) -> bool:
        """End the lease without new tokens."""
        async with borrow(self._pool) as database:
            given = await database.fetchval(
                GIVE_BACK,
                lease.id,
                lease.version.epoch,
                lease.version.generation,
                setback.pause,
                setback.status,
                setback.reason,
                setback.cause,
                author(self._replica),
                lease.name,
            )
        if given is not None and setback.status is Status.SUSPECT and setback.reason:
            self._doubts.count(setback.reason)
        return given is not None

    @repeated
    async def suspect(self, connection_id: UUID, version: Version, lacked_keys: Sequence[str]) -> bool:
        """Mark a row that does not open, unless a key is lacking here that exists."""
        key = (connection_id, version.epoch, version.generation)
        why = (Why.UNREADABLE, list(lacked_keys), author(self._replica))
        async with borrow(self._pool) as database:
            marked = await database.fetchrow(SUSPECT, *key, *why) is not None
        if marked:
            self._doubts.count(Why.UNREADABLE)
        return marked

    async def connect(
        self, target: ByOwner, team_id: int, grant: Grant, seal: Seal, *, link: UUID | None = None
    ) -> Connection:
        """Store a new grant for an owner under a new epoch."""
        return await self._write(Wish(target, team_id, grant, seal, refuse_replacement, link))

    async def replace(
        self, target: ByOwner, team_id: int, grant: Grant, seal: Seal, *, link: UUID | None = None
    ) -> Connection:
        """Store a new grant for an owner under a new epoch, whatever account the owner has now."""
        return await self._write(Wish(target, team_id, grant, seal, queue_revocation, link))

    @repeated
    async def _write(self, wish: Wish) -> Connection:
        async with borrow(self._pool) as database:
            while True:
                try:
                    async with database.transaction():
                        return await write_connection(database, wish, author(self._replica))
                except asyncpg.UniqueViolationError as error:
                    if error.constraint_name == "connections_live_account":
                        masked = await self._masked_owner(database, wish.grant)
                        raise AccountAlreadyConnected(metadata={"owner": masked}) from None
                    # Somebody made this owner's first row at the same moment: now there is one to lock.

    async def account_is_live(self, grant: Grant) -> bool:
        """Return whether the account of a grant has a live connection."""
        async with borrow(self._pool) as database:
            return await database.fetchrow(LIVE_OWNER, grant.provider, grant.account_id) is not None

    async def page(self, after: int, size: int, chosen: Filter) -> Sequence[Connection]:
        """Return connections by number."""
        async with borrow(self._pool) as database:
            rows = await database.fetch(
                PAGE, after, size, chosen.owner_kind, list(chosen.owner_ids), list(chosen.statuses)
            )
        return [connection_of(row) for row in rows]

    async def answered(self, connection_id: UUID, request_id: str) -> int | None:
        """Return the generation a refresh request was answered with."""
        query = "SELECT generation FROM refresh_requests WHERE connection_id = $1 AND request_id = $2"
        async with borrow(self._pool) as database:
            generation: int | None = await database.fetchval(query, connection_id, request_id)
        return generation

    async def record_answer(self, connection_id: UUID, request_id: str, generation: int) -> None:
        """Remember what a refresh request was answered with, and forget old ones."""
        insert = "INSERT INTO refresh_requests VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
        forget = "DELETE FROM refresh_requests WHERE answered_at < clock_timestamp() - $1::text::interval"
        async with borrow(self._pool) as database:
            await database.execute(insert, connection_id, request_id, generation)
            await database.execute(forget, REQUESTS_KEPT)

    async def _masked_owner(self, database: Borrowed, grant: Grant) -> str:
        row = await database.fetchrow(LIVE_OWNER, grant.provider, grant.account_id)
        return owner_of(row).masked() if row else ""


async def refuse_replacement(_database: Borrowed, old: asyncpg.Record) -> None:
    """Raise AccountAlreadyConnected."""
    raise AccountAlreadyConnected(
        f"This {old['owner_kind']} is connected to another TikTok account: disconnect that one first."
    )


async def queue_revocation(database: Borrowed, old: asyncpg.Record) -> None:
    """Let the grant of a row that is about to be overwritten be ended at TikTok."""
    await database.execute(QUEUE_REVOCATION, old["id"])


async def write_connection(database: Borrowed, wish: Wish, by: Sequence[str]) -> Connection:
    """Write the row of a new grant inside a transaction, its link and the owner's old row locked first."""
    target, team_id, grant, seal, before_replacement, link = wish
    await require_open(database, link)
    old = await database.fetchrow(LOCK_OWNER, *owner_key(target))
    if old and old["status"] != Status.DISCONNECTED and old["account_id"] != grant.account_id:
        await before_replacement(database, old)
    connection_id = old["id"] if old else uuid4()
    before = Version(epoch=old["epoch"], generation=old["generation"]) if old else Version(epoch=0, generation=0)
    version = before.connected()
    sealed = seal(connection_id, version)
    row = await database.fetchrow(
        CONNECT,
        connection_id,
        *owner_key(target),
        team_id,
        grant.account_id,
        grant.scopes,
        version.epoch,
        version.generation,
        sealed.access,
        sealed.refresh,
        grant.access_seconds,
        grant.refresh_seconds,
        grant.age,
        grant.access_given,
        grant.refresh_given,
        by,
    )
    if grant.provider is Provider.TIKTOK_SHOP:
        await database.execute(MARK_CONNECTED, sealed.mark, connection_id)
        await write_shops(database, connection_id, grant)
        row = await database.fetchrow(FIND_BY_ID, connection_id)
    return connection_of(row)


def owner_key(target: ByOwner) -> tuple[str, str, str]:
    """Return the columns that name an owner's connection."""
    return (target.provider, target.owner.kind, target.owner.id)
