"""The key ring in PostgreSQL: reports of replicas, the active key, and what each key has sealed."""

from collections.abc import Mapping, Sequence
from typing import Any

from libs.database.pool import Pool, borrow
from libs.vault.ring import WrongKeys, header
from services.token.adapters.sealed_columns import SEALED_FIELDS
from services.token.adapters.timeline import author, recorded_of_keys
from services.token.core.key_ring import LIVE_FOR, Agreement, KeyReport, KeyStanding, RingStanding

# Reports take turns, so that a replica is either counted before a key becomes active or sees that it is.
LOCK = 0x746F6B6B657973
FORGET_AFTER = 3600.0  # seconds

NOTE_REPLICA = """
    INSERT INTO key_replicas (replica, key_id, preferred, seen_at)
    SELECT $1, key_id, key_id = $3, clock_timestamp() FROM unnest($2::text[]) AS key_id
    ON CONFLICT (replica, key_id) DO UPDATE SET preferred = excluded.preferred, seen_at = excluded.seen_at
"""

ADD_ENCRYPTIONS = """
    UPDATE key_canaries AS key SET encryptions = key.encryptions + counted.sealed
    FROM unnest($1::text[], $2::bigint[]) AS counted (key_id, sealed) WHERE key.key_id = counted.key_id
"""

ACTIVATE = recorded_of_keys(
    """
    WITH live AS (
        SELECT replica, key_id, preferred FROM key_replicas
        WHERE seen_at > clock_timestamp() - make_interval(secs => $1)
    ), known_to_all AS (
        SELECT key_id FROM live GROUP BY key_id
        HAVING bool_or(preferred) AND count(*) = (SELECT count(DISTINCT replica) FROM live)
    )
    UPDATE key_canaries SET activated_at = clock_timestamp()
    WHERE key_id = (
        SELECT key_id FROM known_to_all JOIN key_canaries USING (key_id) WHERE activated_at IS NULL
        ORDER BY key_id LIMIT 1
    )
    RETURNING key_id
    """,
    kind="'KEY_ACTIVATED'",
    key="key_id",
    by="$2",
)

FORGET = "DELETE FROM key_replicas WHERE seen_at < clock_timestamp() - make_interval(secs => $1)"

ACTIVE = "SELECT key_id FROM key_canaries WHERE activated_at IS NOT NULL ORDER BY activated_at DESC LIMIT 1"

AGREEMENT = "SELECT key_id, encryptions FROM key_canaries ORDER BY activated_at DESC NULLS LAST"

KEYS = """
    SELECT key_id, created_at, activated_at, encryptions,
        activated_at IS NOT NULL AND activated_at = max(activated_at) OVER () AS active
    FROM key_canaries ORDER BY created_at, activated_at, key_id
"""

LIVE = """
    SELECT key_id, bool_or(preferred) AS preferred, array_agg(replica ORDER BY replica) AS replicas FROM key_replicas
    WHERE seen_at > clock_timestamp() - make_interval(secs => $1) GROUP BY key_id
"""

ROWS_BY_HEADER = f"SELECT header, count(DISTINCT id) AS rows FROM {SEALED_FIELDS} GROUP BY header"

UNRECOGNISED = f"SELECT count(DISTINCT id) FROM {SEALED_FIELDS} AND NOT header = ANY ($1::bytea[])"


class PostgresKeyRing:
    """Implements KeyRingPort; replica names this process to people."""

    def __init__(self, *, pool: Pool, replica: str) -> None:
        self._pool = pool
        self._replica = replica

    async def report(self, report: KeyReport) -> Agreement:
        """Note what this replica knows, activate what all know, and return what came of it."""
        async with borrow(self._pool) as database, database.transaction():
            await database.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            await database.execute(NOTE_REPLICA, self._replica, list(report.known), report.preferred)
            if report.sealed:
                await database.execute(ADD_ENCRYPTIONS, list(report.sealed), list(report.sealed.values()))
            # Raised inside the transaction: a replica that lacks the active key does not count as one.
            raise_if_unknown(await database.fetchval(ACTIVE), report)
            await database.execute(ACTIVATE, LIVE_FOR, author(self._replica))
            await database.execute(FORGET, FORGET_AFTER)
            return agreement_of(await database.fetch(AGREEMENT))

    async def leave(self) -> None:
        """Forget this replica."""
        async with borrow(self._pool) as database:
            await database.execute("DELETE FROM key_replicas WHERE replica = $1", self._replica)

    async def standing(self) -> RingStanding:
        """Return how the ring stands, as one snapshot sees it."""
        async with borrow(self._pool) as database, database.transaction(isolation="repeatable_read", readonly=True):
            live = {row["key_id"]: row for row in await database.fetch(LIVE, LIVE_FOR)}
            rows = {row["header"]: row["rows"] for row in await database.fetch(ROWS_BY_HEADER)}
            keys = [standing_of(row, live.get(row["key_id"]), rows) for row in await database.fetch(KEYS)]
            unrecognised = await database.fetchval(UNRECOGNISED, [header(key.id) for key in keys])
        replicas = sorted({replica for row in live.values() for replica in row["replicas"]})
        return RingStanding(keys=keys, live_replicas=replicas, unrecognised_rows=unrecognised)


def raise_if_unknown(active: str | None, report: KeyReport) -> None:
    """Raise WrongKeys when the active key, if there is one yet, is not in a report."""
    if active is not None and active not in report.known:
        raise WrongKeys(f"key {active} seals the stored tokens now, and it is not set here")


def agreement_of(rows: Sequence[Any]) -> Agreement:
    """Return the agreement of the keys' rows, the active one first."""
    return Agreement(active=rows[0]["key_id"], encryptions={row["key_id"]: row["encryptions"] for row in rows})


def standing_of(key: Any, live: Any | None, rows: Mapping[bytes, int]) -> KeyStanding:
    """Return how one key stands."""
    return KeyStanding(
        id=key["key_id"],
        active=key["active"],
        preferred=live is not None and live["preferred"],
        first_seen_at=key["created_at"],
        activated_at=key["activated_at"],
        encryptions=key["encryptions"],
        rows=rows.get(header(key["key_id"]), 0),
        replicas=live["replicas"] if live else (),
    )
