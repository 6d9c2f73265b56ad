"""The one rotation's row in PostgreSQL, held by a lease on the database's clock."""

from typing import Any

from libs.database.pool import Pool, borrow
from services.token.adapters.timeline import author, recorded_of_keys
from services.token.core.rotation import Overtaken, Rotation, Stage

LEASE = 6.0  # seconds; a rotation reports every second, and two at once would do no harm

COLUMNS = """
    rotation.key_id, rotation.stage, rotation.total, rotation.rewritten, rotation.unreadable, rotation.holder,
    coalesce(rotation.lease_until > clock_timestamp(), false) AS held, rotation.started_at,
    extract(epoch FROM clock_timestamp() - rotation.started_at)::float8 AS seconds
"""

# One that is not finished goes on where it was; everything else begins anew.
GOES_ON = "rotation.stage <> 'DONE' AND rotation.key_id = excluded.key_id"

CLAIM = recorded_of_keys(
    f"""
    INSERT INTO key_rotation AS rotation (key_id, stage, total, holder, lease_until)
    VALUES ($1, 'REWRITING', $2, $3, clock_timestamp() + make_interval(secs => $4))
    ON CONFLICT (only_row) DO UPDATE SET
        key_id = excluded.key_id, stage = excluded.stage,
        holder = excluded.holder, lease_until = excluded.lease_until, updated_at = excluded.updated_at,
        total = CASE WHEN {GOES_ON} THEN rotation.total ELSE excluded.total END,
        rewritten = CASE WHEN {GOES_ON} THEN rotation.rewritten ELSE 0 END,
        unreadable = 0,
        started_at = CASE WHEN {GOES_ON} THEN rotation.started_at ELSE excluded.started_at END
    WHERE rotation.lease_until IS NULL OR rotation.lease_until < clock_timestamp()
    RETURNING {COLUMNS}
    """,
    kind="'ROTATION_BEGUN'",
    key="key_id",
    by="$5",
)

KEEP = recorded_of_keys(
    f"""
    UPDATE key_rotation AS rotation SET
        key_id = $2, stage = $3, rewritten = $4, unreadable = $5, updated_at = clock_timestamp(),
        lease_until = CASE WHEN $3 = 'DONE' THEN NULL ELSE clock_timestamp() + make_interval(secs => $6) END
    WHERE holder = $1 RETURNING {COLUMNS}
    """,
    kind="CASE stage WHEN 'DONE' THEN 'ROTATION_DONE' END",
    key="key_id",
    by="$7",
)


class PostgresRotations:
    """Implements RotationPort; replica names this process."""

    def __init__(self, *, pool: Pool, replica: str) -> None:
        self._pool = pool
        self._replica = replica

    async def claim(self, key_id: str, total: int, holder: str) -> Rotation | None:
        """Begin or continue a rotation that nobody holds."""
        async with borrow(self._pool) as database:
            row = await database.fetchrow(CLAIM, key_id, total, holder, LEASE, author(self._replica))
        return rotation_of(row) if row else None

    async def keep(self, rotation: Rotation) -> Rotation:
        """Store how it stands, if its holder still has it."""
        rest = (rotation.rewritten, rotation.unreadable, LEASE, author(self._replica))
        async with borrow(self._pool) as database:
            row = await database.fetchrow(KEEP, rotation.holder, rotation.key_id, rotation.stage, *rest)
        if row is None:
            raise Overtaken
        return rotation_of(row)

    async def let_go(self, rotation: Rotation) -> None:
        """End the lease, if its holder still has it."""
        async with borrow(self._pool) as database:
            await database.execute("UPDATE key_rotation SET lease_until = NULL WHERE holder = $1", rotation.holder)

    async def look(self) -> Rotation:
        """Return the rotation."""
        async with borrow(self._pool) as database:
            return rotation_of(await database.fetchrow(f"SELECT {COLUMNS} FROM key_rotation AS rotation"))


def rotation_of(row: Any) -> Rotation:
    """Return the rotation of a row of COLUMNS."""
    return Rotation(**{**row, "stage": Stage(row["stage"])})
