"""The lease of a connection, also when nobody knows whether it was given: the answer was lost on the way."""

from collections import OrderedDict
from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg

from libs.database.errors import was_cut
from libs.database.pool import Borrowed, Pool, borrow
from libs.database.repeat import repeated
from libs.errors import StorageUnavailable
from services.token.adapters.rows import COLUMNS, connection_of
from services.token.adapters.timeline import author, recorded
from services.token.core.connections import Lease
from services.token.domain.connection import Need, Version

# How a lease ends in its row: nobody has it, and no presentation of its token is open.
NO_LEASE = "lease_owner = NULL, lease_until = NULL, intent_generation = NULL, intent_owner = NULL, intent_at = NULL"

# Asked only of a token whose last use has no known end; a failure that TikTok or the network named is an end. This
# process may have left its own use open too: it could not write down how that ended.
UNANSWERED = """
    CASE WHEN NOT left_open AND status = 'ACTIVE' THEN 0 ELSE (
        SELECT count(*) FILTER (WHERE kind = 'REFRESH_INTENT')
            - count(*) FILTER (WHERE kind = 'REFRESH_FAILED' OR event.reason = 'unreadable')
        FROM connection_events AS event
        WHERE connection_id = $1 AND event.epoch = connections.epoch AND event.generation = connections.generation
    ) END
"""

# A row that somebody put back holds a token that is spent. Of what moves a version, the newest event is the newest.
PUT_BACK = """
    coalesce((
        SELECT (event.epoch, event.generation) > (connections.epoch, connections.generation)
        FROM connection_events AS event
        WHERE connection_id = $1 AND kind IN ('CONNECTED', 'IMPORTED', 'REFRESHED', 'DISCONNECTED')
        ORDER BY event.id DESC LIMIT 1
    ), FALSE)
"""

# One atomic statement: of all who are due, the row lets one in, and it notes whose call is on its way.
# A token that another process presented without leaving word is left to it while the access token lasts: it may only
# be paused, and presenting its token once more could end the grant. A live one leaves word well within two minutes.
CLAIM = recorded(
    f"""
    UPDATE connections SET
        lease_owner = $7, lease_number = lease_number + 1,
        lease_until = clock_timestamp() + make_interval(secs => $3),
        intent_generation = generation, intent_owner = $2, intent_at = clock_timestamp()
    FROM (SELECT (
        SELECT intent_at FROM connections
        WHERE id = $1 AND intent_generation = generation AND intent_owner <> $2
    ) AS foreign_at, EXISTS (
        SELECT FROM connections WHERE id = $1 AND intent_generation = generation
    ) AS left_open) AS before
    WHERE id = $1
      AND status IN ('ACTIVE', 'SUSPECT')
      AND (generation = $4 OR access_expires_at < clock_timestamp() + least(
              make_interval(secs => $5), (access_expires_at - received_at) / 2))
      AND (lease_until IS NULL OR lease_until < clock_timestamp())
      AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp())
      AND (foreign_at IS NULL OR foreign_at < clock_timestamp() - interval '2 minutes'
           OR access_expires_at < clock_timestamp() + interval '30 seconds')
    RETURNING {COLUMNS}, lease_owner, refresh_token, failures,
        extract(epoch FROM clock_timestamp() - foreign_at)::float8 AS foreign_for,
        {UNANSWERED} AS unanswered, {PUT_BACK} AS put_back
    """,
    kind="'REFRESH_INTENT'",
    reason="''",
    by="$6",
)

# The very lease of a claim whose answer was lost. Its intent is on record and is not counted as another presentation;
# whose intent it took the place of is found in the record too.
RETAKE = f"""
    UPDATE connections SET lease_until = clock_timestamp() + make_interval(secs => $3)
    FROM (SELECT (
        SELECT max(at) FROM connection_events AS event JOIN connections AS row ON row.id = event.connection_id
        WHERE row.id = $1 AND event.epoch = row.epoch AND event.generation = row.generation
          AND kind = 'REFRESH_INTENT' AND replica <> $4
    ) AS foreign_at, TRUE AS left_open) AS before
    WHERE id = $1 AND lease_owner = $2
    RETURNING {COLUMNS}, lease_owner, refresh_token, failures,
        extract(epoch FROM clock_timestamp() - foreign_at)::float8 AS foreign_for,
        greatest({UNANSWERED} - 1, 0) AS unanswered, {PUT_BACK} AS put_back
"""

LASTS = """
    SELECT EXISTS (SELECT FROM connections
        WHERE id = $1 AND lease_owner = $2 AND lease_until > clock_timestamp() + make_interval(secs => $3))
"""


REMEMBERED = 10_000  # rows whose newest version this process has saved


class Leases:
    """Takes leases; replica names this process, and every lease has a name of its own behind it.

    A row that is older than what this process has saved in it went back in time, and its timeline with it: a failover
    is met by a lease before it is heard of.
    """

    def __init__(self, *, pool: Pool, replica: str) -> None:
        self._pool = pool
        self._replica = replica
        self._unsure: dict[UUID, str] = {}
        self._saved: OrderedDict[UUID, Version] = OrderedDict()

    async def take(self, connection_id: UUID, need: Need, seconds: float) -> Lease | None:
        """Take the lease when the need is unmet and nobody holds it, or when an earlier try took it unawares."""
        try:
            return await self._take(connection_id, need, seconds)
        except StorageUnavailable as error:
            if not was_cut(error):
                raise
        return await self._take(connection_id, need, seconds)

    def saved(self, lease: Lease) -> None:
        """Note that the row of a lease has the version after it."""
        self._saved[lease.id] = lease.version.refreshed()
        self._saved.move_to_end(lease.id)
        if len(self._saved) > REMEMBERED:
            self._saved.popitem(last=False)

    def left(self, lease: Lease) -> None:
        """Note that a lease was neither used nor given back: it is taken again as one whose answer was lost."""
        self._unsure[lease.id] = lease.name

    async def lasts(self, lease: Lease, seconds: float) -> bool:
        """Return whether a lease is in force and stays so for seconds, by the database's clock."""
        async with borrow(self._pool) as database:
            return bool(await database.fetchval(LASTS, lease.id, lease.name, seconds))

    @repeated
    async def _take(self, connection_id: UUID, need: Need, seconds: float) -> Lease | None:
        async with borrow(self._pool) as database:
            lease = await self._retake(database, connection_id, seconds)
            lease = lease or await self._claim(database, connection_id, need, seconds)
        if lease and lease.version < self._saved.get(connection_id, lease.version):
            return replace(lease, put_back=True)
        return lease

    async def _retake(self, database: Borrowed, connection_id: UUID, seconds: float) -> Lease | None:
        name = self._unsure.get(connection_id)
        if name is None:
            return None
        row = await database.fetchrow(RETAKE, connection_id, name, seconds, self._replica)
        del self._unsure[connection_id]
        return lease_of(row) if row else None

    async def _claim(self, database: Borrowed, connection_id: UUID, need: Need, seconds: float) -> Lease | None:
        name = self._unsure[connection_id] = f"{self._replica} {uuid4().hex[:8]}"
        wanted = (seconds, need.spent_generation, need.min_ttl)
        row = await database.fetchrow(CLAIM, connection_id, self._replica, *wanted, author(self._replica), name)
        del self._unsure[connection_id]
        return lease_of(row) if row else None


def lease_of(row: asyncpg.Record) -> Lease:
    """Return the lease that a row was returned with."""
    return Lease(
        connection=connection_of(row),
        name=row["lease_owner"],
        access=row["access_token"],
        refresh=row["refresh_token"],
        failures=row["failures"],
        foreign_for=row["foreign_for"],
        unanswered=row["unanswered"],
        put_back=row["put_back"],
    )
