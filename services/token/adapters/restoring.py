"""Rows brought up to what the journal holds, and intents of processes that are gone."""

from collections.abc import Sequence

import asyncpg
import structlog

from libs.database.pool import Borrowed, Pool, borrow
from libs.database.repeat import repeated
from services.token.adapters.leases import NO_LEASE
from services.token.adapters.revocations import QUEUE_REVOCATION, queue_late
from services.token.adapters.rows import is_reduced
from services.token.adapters.shop_tokens import SHOPS_DUE, account_of, marked, shops_due_of
from services.token.adapters.timeline import recorded
from services.token.core.journal import Entry
from services.token.core.vault import SealedTokens, Vault
from services.token.domain.grant import Grant

log = structlog.get_logger()

# Whoever asked for what is made up for here is long gone.
JOURNAL = "ARRAY['', '', 'journal']"

# Older means an earlier epoch, or the same and an earlier generation: what is as new or newer is left alone.
RESTORE = recorded(
    f"""
    INSERT INTO connections AS old (
        id, provider, owner_kind, owner_id, team_id, account_id, status, scopes, epoch, generation,
        access_token, refresh_token, access_given, refresh_given, received_at, access_expires_at, refresh_expires_at,
        shops_due_at
    ) VALUES (
        $1, $2, $3, $4, $5, {account_of("$6", "$18::text", "$2")}, 'ACTIVE', $7, $8, $9, $10, $11, $12, $13, $14,
        $14::timestamptz + make_interval(secs => $15::bigint), $14::timestamptz + make_interval(secs => $16::bigint),
        CASE WHEN $2 = 'tiktok_shop' THEN {SHOPS_DUE} END
    )
    ON CONFLICT (id) DO UPDATE SET
        account_id = excluded.account_id, status = 'ACTIVE',
        reason = CASE WHEN old.epoch = excluded.epoch AND {is_reduced("old.reason", "old.scopes", "excluded.scopes")}
            THEN 'scope_reduced' ELSE '' END,
        scopes = CASE WHEN cardinality(excluded.scopes) > 0 THEN excluded.scopes ELSE old.scopes END,
        epoch = excluded.epoch, generation = excluded.generation,
        access_token = excluded.access_token, refresh_token = excluded.refresh_token,
        access_given = excluded.access_given, refresh_given = coalesce(excluded.refresh_given, old.refresh_given),
        received_at = excluded.received_at, access_expires_at = excluded.access_expires_at,
        refresh_expires_at = coalesce(excluded.refresh_expires_at, old.refresh_expires_at),
        {NO_LEASE},
        failures = 0, next_attempt_at = NULL, updated_at = clock_timestamp(),
        shops_due_at = CASE WHEN old.epoch < excluded.epoch THEN excluded.shops_due_at
            ELSE {shops_due_of("$6", "$18", "$2", before="old.shops_due_at")} END
    WHERE (old.epoch, old.generation) < (excluded.epoch, excluded.generation)
    RETURNING id, epoch, generation
    """,
    kind="'REFRESHED'",
    reason="'restored'",
    by=JOURNAL,
    also=marked("$17"),
)

# What is queued to be ended went back in time too. A grant that has ended is told to have ended, and that is all.
LIVE_BEHIND = """
    SELECT id FROM connections
    WHERE id = $1 AND (epoch, generation) < ($2, $3) AND status <> 'DISCONNECTED' FOR UPDATE
"""

DISCONNECT = recorded(
    f"""
    UPDATE connections SET
        status = 'DISCONNECTED', epoch = $2, generation = greatest(generation, $3),
        access_token = '', refresh_token = '', shops_due_at = NULL, {NO_LEASE}, updated_at = clock_timestamp()
    WHERE id = $1 AND (epoch, generation) < ($2, $3)
    RETURNING id, epoch, generation
    """,
    kind="'DISCONNECTED'",
    reason="'restored'",
    by=JOURNAL,
)

# The access token stays in use while it lasts; the next refresh presents the old refresh token once and so finds out.
RESOLVE = recorded(
    f"""
    UPDATE connections SET
        status = 'SUSPECT', reason = 'lost_response', {NO_LEASE}, updated_at = clock_timestamp()
    WHERE id IN (
        SELECT id FROM connections
        WHERE intent_owner = ANY ($1) AND intent_generation = generation AND status IN ('ACTIVE', 'SUSPECT')
        ORDER BY id FOR UPDATE
    )
    RETURNING id, epoch, generation
    """,
    kind="'SUSPECT'",
    reason="'lost_response'",
    by=JOURNAL,
)

# All that a restore, a disconnect or a late queueing below could change; a replay of thousands looks at the rest once.
BEHIND = """
    SELECT place
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS entry (id, epoch, generation, place)
    LEFT JOIN connections AS row USING (id)
    WHERE row.epoch IS NULL OR row.epoch < entry.epoch OR row.generation < entry.generation
    ORDER BY place
"""
AT_ONCE = 1_000  # entries

ARE_PUT_BACK = """
    SELECT EXISTS (SELECT FROM connections
        WHERE status = 'SUSPECT' AND reason = 'put_back' AND next_attempt_at > clock_timestamp())
"""


class PostgresReplay:
    """Implements ReplayPort."""

    def __init__(self, *, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def behind(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries that are newer than their rows in some way."""
        found = []
        for start in range(0, len(entries), AT_ONCE):
            some = entries[start : start + AT_ONCE]
            ids, versions = [one.connection_id for one in some], [one.version for one in some]
            numbers = ([one.epoch for one in versions], [one.generation for one in versions])
            async with borrow(self._pool) as database:
                found += [some[row["place"] - 1] for row in await database.fetch(BEHIND, ids, *numbers)]
        return found

    @repeated
    async def restore(self, entry: Entry) -> bool:
        """Bring a row that is older than the entry up to it."""
        async with borrow(self._pool) as database:
            if entry.grant is None:
                return await disconnected_again(database, entry)
            sealed = self._vault.seal(entry.grant, entry.connection_id, entry.version)
            try:
                if await database.fetchval(RESTORE, *columns(entry, entry.grant, sealed)) is not None:
                    return True
            except asyncpg.UniqueViolationError:
                # The owner or the account has another row by now: that one was made later, and by a person.
                log.error("an entry of the journal has no place any more", connection=str(entry.connection_id))
                return False
            if await queue_late(database, entry, sealed):
                log.warning("tokens of a disconnected connection are ended", connection=str(entry.connection_id))
            return False

    async def are_put_back(self) -> bool:
        """Return whether rows wait for their newer tokens; one whose time is up does not."""
        async with borrow(self._pool) as database:
            return bool(await database.fetchval(ARE_PUT_BACK))

    @repeated
    async def resolve_intents(self, dead: Sequence[str]) -> int:
        """Say of every token that a dead process presented that its answer is lost."""
        async with borrow(self._pool) as database:
            rows = await database.fetch(RESOLVE, list(dead))
        for row in rows:
            log.error("a process ended while it refreshed: its answer is lost", connection=str(row["id"]))
        return len(rows)


async def disconnected_again(database: Borrowed, entry: Entry) -> bool:
    """End a connection that had been ended, and queue the grant its row has come back with; False when it is ended."""
    version = (entry.version.epoch, entry.version.generation)
    async with database.transaction():
        if await database.fetchval(LIVE_BEHIND, entry.connection_id, *version):
            await database.execute(QUEUE_REVOCATION, entry.connection_id)
        return await database.fetchval(DISCONNECT, entry.connection_id, *version) is not None


def columns(entry: Entry, grant: Grant, sealed: SealedTokens) -> tuple[object, ...]:
    """Return the parameters of RESTORE."""
    return (
        entry.connection_id,
        entry.provider,
        entry.owner.kind,
        entry.owner.id,
        entry.team_id,
        entry.account_id,
        grant.scopes,
        entry.version.epoch,
        entry.version.generation,
        sealed.access,
        sealed.refresh,
        grant.access_given,
        grant.refresh_given,
        entry.received_at,
        grant.access_seconds,
        grant.refresh_seconds,
        sealed.mark,
        grant.account_id,
    )
