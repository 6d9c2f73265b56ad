"""What providers' events change in PostgreSQL: an event and its effect are one transaction."""

from datetime import datetime, timedelta
from typing import Any, assert_never
from uuid import UUID

from libs.database.command_tag import rows_changed
from libs.database.pool import Borrowed, Pool, borrow
from libs.database.repeat import repeated
from services.token.adapters.leases import NO_LEASE
from services.token.adapters.rows import FIND_BY_ID, connection_of
from services.token.adapters.timeline import author, recorded
from services.token.domain.connection import Connection, Provider, Why
from services.token.domain.provider_event import (
    AccountRemoved,
    Change,
    Effect,
    EventOutcome,
    ExpiryAnnounced,
    ProviderEvent,
    ShopRemoved,
)

# Of two that come at once, the second waits here for the first, and finds it noted.
NOTE = "INSERT INTO provider_events (provider, key) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"

FORGET = """
    DELETE FROM provider_events WHERE (provider, key) IN (
        SELECT provider, key FROM provider_events
        WHERE received_at < clock_timestamp() - $1::interval ORDER BY received_at LIMIT $2)
"""

# An event may be days late. It names whole seconds, so one of the second of the connect is not taken for older.
CONCERNED = "status <> 'DISCONNECTED' AND date_trunc('second', connected_at) <= $2"

BY_ACCOUNT = f"SELECT id FROM connections WHERE provider = $1 AND account_id = $3 AND {CONCERNED} FOR UPDATE"

BY_SHOP = f"""
    SELECT id FROM connections
    WHERE provider = $1 AND id = (SELECT connection_id FROM shops WHERE shop_id = $3) AND {CONCERNED} FOR UPDATE
"""

DISCONNECT = recorded(
    f"""
    UPDATE connections SET
        status = 'DISCONNECTED', reason = $2::text, epoch = epoch + 1, access_token = '', refresh_token = '',
        {NO_LEASE},
        failures = 0, next_attempt_at = NULL, shops_due_at = NULL, updated_at = clock_timestamp()
    WHERE id = $1
    RETURNING id, epoch, generation
    """,
    kind="'DISCONNECTED'",
    reason="$2::text",
    by="$3",
)

OTHER_SHOPS = "SELECT EXISTS (SELECT FROM shops WHERE connection_id = $1 AND shop_id IS DISTINCT FROM $2)"
TAKE_OUT = "UPDATE shops SET connection_id = NULL WHERE connection_id = $1 AND shop_id = $2"

TOUCH = recorded(
    "UPDATE connections SET updated_at = clock_timestamp() WHERE id = $1 RETURNING id, epoch, generation",
    kind="'SHOP_REMOVED'",
    reason="$2::text",
    by="$3",
)

ANNOUNCE = recorded(
    f"""
    UPDATE connections SET
        reason = CASE status WHEN 'ACTIVE' THEN '{Why.EXPIRING}' ELSE reason END,
        refresh_given = $2::bigint, refresh_expires_at = to_timestamp($2::bigint), updated_at = clock_timestamp()
    WHERE id = $1
    RETURNING id, epoch, generation
    """,
    kind="'EXPIRY_ANNOUNCED'",
    reason=f"'{Why.EXPIRING}'",
    by="$3",
)


class PostgresProviderEvents:
    """Implements ProviderEventsPort, and the Forgetful of retention; replica names this process."""

    def __init__(self, *, pool: Pool, replica: str) -> None:
        self._pool = pool
        self._replica = replica

    @repeated
    async def apply(self, event: ProviderEvent) -> Effect:
        """Make the event's change once."""
        async with borrow(self._pool) as database, database.transaction():
            event.require_recent(await database.fetchval("SELECT clock_timestamp()"))
            if not await database.fetchval(NOTE, event.provider, event.key):
                return Effect(outcome=EventOutcome.REPEATED)
            changed = await self._change(database, event.provider, event.at, event.change) if event.change else None
        return Effect(outcome=EventOutcome.APPLIED if changed else EventOutcome.IGNORED, connection=changed)

    async def forget(self, age: timedelta, most: int) -> int:
        """Delete up to so many of the events older than age; return how many."""
        async with borrow(self._pool) as database:
            return rows_changed(await database.execute(FORGET, age, most))

    async def _change(self, database: Borrowed, provider: Provider, at: datetime, change: Change) -> Connection | None:
        """Return the connection that was changed, as it is now."""
        about, find = (
            (change.account_id, BY_ACCOUNT) if isinstance(change, AccountRemoved) else (change.shop_id, BY_SHOP)
        )
        connection: UUID | None = await database.fetchval(find, provider, at, about)
        if connection is None:
            return None
        match change:
            case AccountRemoved():
                await self._record(database, DISCONNECT, connection, change.why)
            case ShopRemoved():
                await self._remove_shop(database, connection, change.shop_id)
            case ExpiryAnnounced():
                await self._record(database, ANNOUNCE, connection, change.ends_at)
            case _:
                assert_never(change)
        return connection_of(await database.fetchrow(FIND_BY_ID, connection))

    async def _remove_shop(self, database: Borrowed, connection: UUID, shop_id: str) -> None:
        """Take a shop out of its grant; without any other the grant is over."""
        if not await database.fetchval(OTHER_SHOPS, connection, shop_id):
            await self._record(database, DISCONNECT, connection, Why.REMOVED_BY_USER)
            return
        await database.execute(TAKE_OUT, connection, shop_id)
        await self._record(database, TOUCH, connection, shop_id)

    async def _record(self, database: Borrowed, statement: str, connection: UUID, value: Any) -> None:
        await database.execute(statement, connection, value, author(self._replica))
