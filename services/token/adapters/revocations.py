"""Grants that are to be ended at TikTok, with their sealed tokens, until that is done."""

from collections.abc import Sequence
from uuid import UUID

from libs.database.pool import Borrowed, Pool, borrow
from libs.database.repeat import repeated
from services.token.adapters.leases import NO_LEASE
from services.token.adapters.links import end_links
from services.token.adapters.rows import COLUMNS, FIND_BY_ID, connection_of, owner_of
from services.token.adapters.timeline import author, recorded
from services.token.core.disconnection import Pending
from services.token.core.journal import Entry
from services.token.core.vault import SealedTokens
from services.token.domain.connection import ByOwner, Connection, Provider, Reference, Version

QUEUE_REVOCATION = """
    INSERT INTO revocations (connection_id, provider, account_id, epoch, generation, access_token, refresh_token,
        access_expires_at)
    SELECT id, provider, account_id, epoch, generation, access_token, refresh_token, access_expires_at
    FROM connections WHERE id = $1
"""

# Tokens of an epoch that has ended. That their generation is counted is what tells, whoever asks again, that they are
# queued; and a later connect gets another one.
QUEUE_LATE = """
    WITH ended AS (
        UPDATE connections SET generation = $3, updated_at = clock_timestamp()
        WHERE id = $1 AND epoch > $2 AND generation < $3 AND status = 'DISCONNECTED'
        RETURNING id, provider
    )
    INSERT INTO revocations (connection_id, provider, account_id, epoch, generation, access_token, refresh_token,
        access_expires_at)
    SELECT id, provider, $4, $2, $3, $5, $6, $7::timestamptz + make_interval(secs => $8)
    FROM ended RETURNING connection_id
"""

LOCK = "SELECT id, status FROM connections WHERE provider = $1 AND owner_kind = $2 AND owner_id = $3 FOR UPDATE"
OWNER = "SELECT provider, owner_kind, owner_id FROM connections WHERE id = $1"

DISCONNECT = recorded(
    f"""
    UPDATE connections SET
        status = 'DISCONNECTED', reason = '', epoch = epoch + 1, access_token = '', refresh_token = '',
        shops_due_at = NULL, {NO_LEASE}, updated_at = clock_timestamp()
    WHERE id = $1
    RETURNING {COLUMNS}
    """,
    kind="'DISCONNECTED'",
    reason="''",
    by="$2",
)

# TikTok ends an account's whole consent: an account that was connected again must be left alone.
CONNECTED_AGAIN = """
    EXISTS (SELECT FROM connections AS live
        WHERE live.provider = old.provider AND live.account_id = old.account_id AND live.status <> 'DISCONNECTED')
"""

FORGET = f"""
    DELETE FROM revocations AS old WHERE begun_at < clock_timestamp() - interval '7 days' OR {CONNECTED_AGAIN}
    RETURNING connection_id, begun_at < clock_timestamp() - interval '7 days' AS too_old
"""

TAKE = f"""
    UPDATE revocations SET attempts = attempts + 1,
        next_at = clock_timestamp() + least(interval '30 s' * 2 ^ least(attempts, 10), interval '1 h')
    WHERE id IN (
        SELECT id FROM revocations AS old
        WHERE next_at <= clock_timestamp() AND ($1::uuid IS NULL OR connection_id = $1) AND NOT {CONNECTED_AGAIN}
        ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, connection_id, provider, epoch, generation, access_token, refresh_token,
        extract(epoch FROM access_expires_at - clock_timestamp())::float8 AS seconds_left
"""

RESEAL = """
    UPDATE revocations SET generation = $2, access_token = $3, refresh_token = $4,
        access_expires_at = clock_timestamp() + make_interval(secs => $5)
    WHERE id = $1
"""


async def queue_late(database: Borrowed, late: Entry, sealed: SealedTokens) -> bool:
    """Let tokens be ended whose connection was disconnected before they could be saved; False when it was not."""
    if late.grant is None:
        return False
    version = (late.version.epoch, late.version.generation)
    account = late.grant.account_id or late.account_id
    given = (sealed.access, sealed.refresh, late.received_at, late.grant.access_seconds)
    return await database.fetchval(QUEUE_LATE, late.connection_id, *version, account, *given) is not None


async def target_of(database: Borrowed, reference: Reference) -> ByOwner | None:
    """Return whose connection is meant; an owner needs none, an id is one that is known or nobody's."""
    if isinstance(reference, ByOwner):
        return reference
    row = await database.fetchrow(OWNER, reference.id)
    if row is None:
        return None
    return ByOwner(provider=Provider(row["provider"]), owner=owner_of(row))


class PostgresRevocations:
    """Implements RevocationsPort; replica names this process."""

    def __init__(self, *, pool: Pool, replica: str) -> None:
        self._pool = pool
        self._replica = replica

    @repeated
    async def disconnect(self, reference: Reference) -> tuple[Connection, bool] | None:
        """End a connection and the links of its owner and queue its grant, in one transaction.

        The links first, as a consent locks them: one that is being stored now is waited for, and then ended too.
        """
        async with borrow(self._pool) as database, database.transaction():
            target = await target_of(database, reference)
            if target is None:
                return None
            await end_links(database, target)
            row = await database.fetchrow(LOCK, target.provider, target.owner.kind, target.owner.id)
            if row is None:
                return None
            if row["status"] == "DISCONNECTED":
                return connection_of(await database.fetchrow(FIND_BY_ID, row["id"])), False
            await database.execute(QUEUE_REVOCATION, row["id"])
            ended = await database.fetchrow(DISCONNECT, row["id"], author(self._replica))
            return connection_of(ended), True

    async def forget(self) -> Sequence[UUID]:
        """Drop what must not or need not be ended any more; return the connections whose time is up."""
        async with borrow(self._pool) as database:
            rows = await database.fetch(FORGET)
        return [row["connection_id"] for row in rows if row["too_old"]]

    @repeated
    async def take(self, connection_id: UUID | None, most: int) -> Sequence[Pending]:
        """Return grants that are due; nobody else gets them for a while."""
        async with borrow(self._pool) as database:
            rows = await database.fetch(TAKE, connection_id, most)
        return [
            Pending(
                number=row["id"],
                connection_id=row["connection_id"],
                provider=Provider(row["provider"]),
                version=Version(epoch=row["epoch"], generation=row["generation"]),
                sealed=SealedTokens(access=row["access_token"], refresh=row["refresh_token"]),
                seconds_left=row["seconds_left"],
            )
            for row in rows
        ]

    async def pending(self, connection_id: UUID) -> bool:
        """Return whether a grant of a connection is still to be ended."""
        query = "SELECT EXISTS (SELECT FROM revocations WHERE connection_id = $1)"
        async with borrow(self._pool) as database:
            return bool(await database.fetchval(query, connection_id))

    async def reseal(self, number: int, version: Version, sealed: SealedTokens, seconds: int) -> None:
        """Store the tokens of a grant that had to be refreshed before it can be ended."""
        async with borrow(self._pool) as database:
            await database.execute(RESEAL, number, version.generation, sealed.access, sealed.refresh, float(seconds))

    async def settle(self, number: int) -> None:
        """Delete a grant that has ended."""
        async with borrow(self._pool) as database:
            await database.execute("DELETE FROM revocations WHERE id = $1", number)
